"""What is the same for every route in the OpenAPI document, so that views need not say it.

Views describe themselves by `extend_schema`. `ApiSchema` names and groups them; `complete` is run
on the finished document and adds what all routes have.
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiResponse
from rest_framework import serializers

from carprice.http.serializers import StrictSerializer


class ErrorBody(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable; the sentence is not.")
    detail = serializers.CharField()
    errors = serializers.DictField(  # type: ignore[assignment]  # shadows a property; never read
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Only for 400: messages by field.",
    )


class InsufficientCreditsBody(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    required = serializers.IntegerField()  # type: ignore[assignment]  # shadows a flag; never read
    available = serializers.IntegerField()


REASONS = {
    400: "Not valid; each field is named.",
    401: "No valid credential.",
    402: "Too few credits.",
    403: "Not allowed: an API key that is read-only, or a browser without its CSRF token.",
    404: "Nothing here, or not yours.",
    405: "The route has no such method; Allow names those it has.",
    409: "Already exists, or in another state.",
    413: "Body too large.",
    415: "A content type or encoding that the route does not take.",
    422: "The Idempotency-Key was used for another request.",
    429: "Too many requests; see Retry-After.",
    503: "Database unreachable; see Retry-After.",
    504: "No answer in time; try again.",
}
HEADERS: dict[str, dict[str, Any]] = {
    "401": {"WWW-Authenticate": {"type": "string", "enum": ["Bearer"]}},
    "405": {"Allow": {"type": "string", "description": "The methods it has."}},
    "429": {"Retry-After": {"type": "integer", "minimum": 1, "description": "Seconds."}},
    "503": {"Retry-After": {"type": "integer", "minimum": 1, "description": "Seconds."}},
}
OPERATIONS = {"healthz", "readyz", "metrics"}
ALWAYS = {400, 405, 413, 415, 429, 503}  # `ApiView` refuses with these before any handler runs


def errors(*statuses: int) -> dict[int, Any]:
    """The refusals of a route, for `extend_schema(responses=...)`; those of ALWAYS are included."""
    return {
        status: OpenApiResponse(
            InsufficientCreditsBody if status == 402 else ErrorBody, REASONS[status]
        )
        for status in sorted({*statuses, *ALWAYS})
    }


class ApiSchema(AutoSchema):
    def get_tags(self) -> list[str]:
        first, *rest = self.path.strip("/").split("/")
        if first == "api":
            return [rest[0]]
        return ["operations" if first in OPERATIONS else "root contract"]

    def get_summary(self) -> str:
        """The first sentence of the handler's docstring."""
        return re.split(r"\.\s", f"{self.get_description()} ", maxsplit=1)[0].strip()

    def get_auth(self) -> list[dict[str, Any]]:
        """No alternatives, rather than one empty one, for a route that looks at no credential."""
        return [scheme for scheme in super().get_auth() if scheme]

    def get_serializer_name(
        self, serializer: serializers.Serializer[Any], direction: Direction
    ) -> str:
        """Without Request at the end of a request's name: drf-spectacular adds it again."""
        name = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Request") if direction == "request" else name


# --- The finished document -----------------------------------------------------------------------


def complete(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's postprocessing hook: add what is true of all routes and bodies."""
    schemas = result["components"]["schemas"]
    _complete_schemas(schemas)
    for operations in result["paths"].values():
        for method, operation in operations.items():
            _complete_request(method, operation, schemas)
            _complete_responses(method, operation)
    return result


def _complete_schemas(schemas: dict[str, Any]) -> None:
    """A strict serializer takes no other members; a base class's docstring describes no other."""
    for serializer in _subclasses(serializers.Serializer):
        name = serializer.__name__
        for component in (name, f"{name}Request", f"Patched{name}", f"Patched{name}Request"):
            if schema := schemas.get(component):
                if not vars(serializer).get("__doc__"):
                    schema.pop("description", None)
                if issubclass(serializer, StrictSerializer):
                    schema["additionalProperties"] = False


def _subclasses(parent: type[Any]) -> Iterator[type[Any]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)


def _complete_request(method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Every body is required, and a change changes something.

    A body that may be of several types is not called required, because the clients that
    openapi-python-client 0.29 generates would then fail to import.
    """
    body = operation.get("requestBody")
    if not body:
        return
    body["required"] = len(body["content"]) == 1
    if method == "patch":
        for media_type in body["content"].values():
            schemas[media_type["schema"]["$ref"].rpartition("/")[2]]["minProperties"] = 1


def _complete_responses(method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if operation.get("security"):
        for status in ["401"] if method == "get" else ["401", "403"]:
            responses.setdefault(status, _error_response(int(status)))
    for status, response in responses.items():
        response["description"] = response.get("description") or HTTPStatus(int(status)).phrase
        for name, schema in HEADERS.get(status, {}).items():
            response.setdefault("headers", {})[name] = {"schema": schema, "required": True}
    operation["responses"] = dict(sorted(responses.items()))


def _error_response(status: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}
    return {"content": {"application/json": {"schema": schema}}, "description": REASONS[status]}

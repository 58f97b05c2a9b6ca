"""Descriptions shared by every route in the OpenAPI document."""

from http import HTTPStatus
from typing import Any

from drf_spectacular import authentication
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiResponse
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
    403: "Not allowed; from a signed-in browser, the CSRF token is missing.",
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
    "WWW-Authenticate": {"type": "string", "enum": ["Bearer"]},
    "Allow": {"type": "string", "description": "The methods it has."},
    "Retry-After": {"type": "integer", "minimum": 1, "description": "Seconds."},
}
HEADER_OF_STATUS = {
    "401": "WWW-Authenticate",
    "405": "Allow",
    "429": "Retry-After",
    "503": "Retry-After",
}
REPLAYED: dict[str, Any] = {
    "schema": {"type": "string", "enum": ["true"]},
    "description": "Only if this is the first answer to its Idempotency-Key, given again.",
}
OPERATIONS = {"healthz", "readyz"}
ALWAYS = {400, 405, 413, 415, 429, 503}  # what `carprice.api` refuses before any handler runs


def errors(*statuses: int) -> dict[int, Any]:
    """The refusals of a route, for `extend_schema(responses=...)`; those of ALWAYS are included."""
    return {
        status: OpenApiResponse(
            InsufficientCreditsBody if status == 402 else ErrorBody, REASONS[status]
        )
        for status in sorted({*statuses, *ALWAYS})
    }


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="Sent again with the same body, it gives the first answer again. Kept 24 hours.",
)


class ApiSchema(AutoSchema):
    """Tells of each route what is true of all of them, so that its annotations need not."""

    def get_tags(self) -> list[str]:
        first, *rest = self.path.strip("/").split("/")
        if first == "api":
            return [rest[0]]
        return ["operations" if first in OPERATIONS else "root contract"]

    def get_summary(self) -> str:
        """The first sentence of the handler's docstring."""
        return str(self.get_description()).partition(". ")[0].rstrip(".")

    def get_auth(self) -> list[dict[str, Any]]:
        """Nothing, rather than an empty alternative, where no credential is looked at."""
        return [scheme for scheme in super().get_auth() if scheme]

    def get_serializer_name(
        self, serializer: serializers.Serializer[Any], direction: Direction
    ) -> str:
        """drf-spectacular adds Request to the name of what is sent."""
        name = super().get_serializer_name(serializer, direction)
        return name.removesuffix("Request") if direction == "request" else name

    def _map_basic_serializer(
        self, serializer: serializers.Serializer[Any], direction: Direction
    ) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if not vars(type(serializer)).get("__doc__"):
            schema.pop("description", None)  # that of its base class
        if isinstance(serializer, StrictSerializer):
            schema["additionalProperties"] = False
        if self.method == "PATCH" and direction == "request":
            schema["minProperties"] = 1
        return schema

    def _get_request_body(self, direction: Direction = "request") -> dict[str, Any] | None:
        """Every body is needed. But of one with several types this is not said, because clients
        that openapi-python-client 0.29 makes then fail to import.
        """
        body: dict[str, Any] | None = super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        if body:
            body["required"] = len(body["content"]) == 1
        return body

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies = super()._get_response_bodies(direction)
        for status in self._refusals_of_strangers():
            if status not in bodies:
                response = errors(int(status))[int(status)]
                bodies[status] = self._get_response_for_code(response, status)  # type: ignore[no-untyped-call]
        for status, body in bodies.items():
            body["description"] = body["description"] or HTTPStatus(int(status)).phrase
        return dict(sorted(bodies.items()))

    def _refusals_of_strangers(self) -> list[str]:
        if not self.view.get_authenticators():
            return []
        return ["401"] if self.method == "GET" else ["401", "403"]

    def _get_response_headers_for_code(
        self, status_code: str, direction: Direction = "response"
    ) -> dict[str, Any]:
        headers = super()._get_response_headers_for_code(status_code, direction)
        name = HEADER_OF_STATUS.get(status_code)
        if name:
            headers[name] = {"schema": HEADERS[name], "required": True}
        handler = getattr(self.view, self.method.lower())
        if status_code < "300" and getattr(handler, "honours_idempotency_key", False):
            headers["Idempotent-Replayed"] = REPLAYED
        return headers


class SessionScheme(authentication.SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.SignedInSession"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """One access token, described twice: pasted in, or fetched by the docs page's Authorize."""

    target_class = "accounts.authentication.BearerAuthentication"
    name = ["bearer", "password"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # either of them

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        password = {"tokenUrl": "/api/auth/login", "scopes": {}}
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            {"type": "oauth2", "flows": {"password": password}},
        ]

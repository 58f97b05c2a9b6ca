"""Descriptions shared by every route in the OpenAPI document."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers


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

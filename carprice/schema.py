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
    404: "Nothing here, or not yours.",
    409: "Already exists, or in another state.",
    413: "Body too large.",
    415: "Not JSON.",
    422: "This Idempotency-Key was used for another request.",
    429: "Too many requests; see Retry-After.",
    503: "Database unreachable; see Retry-After.",
}


def errors(*statuses: int) -> dict[int, Any]:
    """The refusals of a route, for `extend_schema(responses=...)`; 413, 415, 503 always apply."""
    return {
        status: OpenApiResponse(
            InsufficientCreditsBody if status == 402 else ErrorBody, REASONS[status]
        )
        for status in sorted({*statuses, 413, 415, 503})
    }


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="Sent again with the same body, it gives the first answer again. Kept 24 hours.",
)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

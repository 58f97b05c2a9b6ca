"""The credentials, as the OpenAPI document describes them. Imported when the app is ready."""

from typing import Any

from drf_spectacular import authentication
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


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
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "An access token, or in its place an API key (`cp_…`): a read-only "
                "one for GET, HEAD and OPTIONS alone; none manages keys or signs out.",
            },
            {"type": "oauth2", "flows": {"password": password}},
        ]

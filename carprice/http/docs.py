"""The API's reference, and the console in it that sends real calls."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    summary: str
    is_public: bool


@method_decorator(csp_update({"style-src": ["'self'", "'unsafe-inline'"]}), name="get")
class ApiDocsView(SpectacularSwaggerSplitView):
    """A list of every operation; Swagger UI, from our own files, is loaded when it is asked for.

    Its style sheet is partly inline. A session only decides what the header of the page shows.
    """

    http_method_names = ["get", "head"]  # its template could not render an answer to OPTIONS
    template_name = "api_docs.html"
    authentication_classes = (SessionAuthentication,)

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.data["operations"] = operations()
        return response


@cache
def operations() -> dict[str, list[Operation]]:
    """What the API's document describes, by its tags."""
    by_tag: dict[str, list[Operation]] = {}
    generator: Any = SchemaGenerator  # it is not typed
    for path, methods in generator().get_schema(request=None, public=True)["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(
                Operation(method.upper(), path, operation["summary"], not operation.get("security"))
            )
    return by_tag

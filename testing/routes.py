"""Every route of the service, for tests that must leave none out."""

from collections.abc import Iterable, Iterator

from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.views import SpectacularAPIView
from rest_framework.views import APIView


def api_routes() -> list[URLPattern]:
    """Those of both contracts and of operation, answered in JSON."""
    return [route for route in _own_routes() if _is_api(route)]


def page_routes() -> list[URLPattern]:
    """Those that a person opens or sends a form to, but for the admin's."""
    return [route for route in _own_routes() if not _is_api(route)]


def _own_routes() -> Iterator[URLPattern]:
    for route in _flatten(get_resolver().url_patterns):
        if route.name is not None and not route.name.startswith("admin"):
            yield route


def _flatten(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        elif pattern.namespace is None:  # the admin has one
            yield from _flatten(pattern.url_patterns)


def _is_api(route: URLPattern) -> bool:
    view = getattr(route.callback, "cls", None)
    return view is not None and issubclass(view, APIView | SpectacularAPIView)

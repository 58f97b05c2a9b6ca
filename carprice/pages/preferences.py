"""What a visitor prefers of pages, kept in cookies: their language, and light or dark colors."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import translation
from django.views.decorators.http import require_POST
from rest_framework.views import APIView

from carprice.pages.views import is_admin, safe_next

THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"


class PageLanguage:
    """Middleware: pages speak the visitor's language. The API, its pages and the admin do not.

    Programs compare what the API says, and the admin is not translated.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Until the view is known; it never is for an address that does not exist.
        _speak(request, is_page="text/html" in request.META.get("HTTP_ACCEPT", ""))
        return self._get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> None:
        is_api = issubclass(getattr(view, "cls", type(None)), APIView)
        _speak(request, is_page=not (is_admin(request) or is_api))


def _speak(request: HttpRequest, *, is_page: bool) -> None:
    code = settings.LANGUAGE_CODE
    translation.activate(translation.get_language_from_request(request) if is_page else code)


def preferences(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the theme, and what can be chosen."""
    return {
        "theme": theme_of(request),
        "languages": settings.LANGUAGES,
        "language": translation.get_language(),
    }


def theme_of(request: HttpRequest) -> str:
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return theme if theme in THEMES else THEMES[0]


@require_POST
def prefer(request: HttpRequest) -> HttpResponse:
    """Remember a language, a theme or both, and go back to where the choice was made."""
    response = redirect(safe_next(request, "/"))
    language, theme = request.POST.get("language"), request.POST.get("theme")
    if language in dict(settings.LANGUAGES):
        _remember(response, settings.LANGUAGE_COOKIE_NAME, language)
    if theme in THEMES:
        _remember(response, THEME_COOKIE, theme)
    return response


def _remember(response: HttpResponse, cookie: str, value: str) -> None:
    response.set_cookie(
        cookie,
        value,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )

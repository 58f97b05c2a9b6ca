"""Forms of the admin that outlive their session or token: what was typed is shown, nothing is done.

A page that knows how fills its form in by `kept_forms.typed`; on the others a message lists it.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase

from carprice.pages import kept_forms

NAMESPACE = "admin"
MOST_LISTED = 20  # fields
LONGEST_LISTED = 200  # characters of a value
NOT_TYPED = {"form_key", "csrfmiddlewaretoken"}


class KeptAdminForms:
    """Middleware: asks to sign in first, and lists what was typed once that is done."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if not is_of_admin(request):
            return None
        if request.method == "POST":
            if not request.user.is_authenticated:
                return kept_forms.ask_to_sign_in(request)
            kept_forms.drop(request)
        fields = kept_forms.find(request)
        if fields is not None and request.user.is_authenticated:
            messages.info(request, f"Nothing has been done yet. {_listed(fields)}")
        return None


def is_of_admin(request: HttpRequest) -> bool:
    """Whether a page of the admin is asked for; signing out is none, and has no form to keep."""
    match = request.resolver_match
    return match is not None and match.namespace == NAMESPACE and match.url_name != "logout"


def show_typed(request: HttpRequest, sentence: str) -> HttpResponseBase:
    """The page of a form whose token is not good, as if it were opened: that does nothing."""
    if not request.user.is_authenticated:
        return kept_forms.ask_to_sign_in(request)
    opened = kept_forms.as_opened(request)
    messages.warning(request, f"{sentence} {_listed(opened.typed_form)}")  # type: ignore[attr-defined]  # set there
    match = request.resolver_match
    assert match is not None  # noqa: S101  # `is_of_admin` was true
    response: HttpResponseBase = match.func(opened, *match.args, **match.kwargs)
    if response.status_code == 200:
        response.status_code = 403
    return response


def _listed(fields: QueryDict) -> str:
    """What was typed, without what a browser sends of its own accord."""
    names = [name for name in fields if name not in NOT_TYPED and not name.startswith("_")]
    names = [name for name in names if not name.endswith("_FORMS")][:MOST_LISTED]
    values = [f"{name}: {', '.join(fields.getlist(name))[:LONGEST_LISTED]}" for name in names]
    return f"You had typed: {'; '.join(values)}." if values else ""

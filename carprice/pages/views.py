"""Base views of pages: forms whose service may refuse, fragments, redirects within the site."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import AccessMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy
from django.views.generic import FormView
from django_htmx.http import HttpResponseClientRefresh

from carprice.http import throttling
from carprice.http.errors import InvalidInput, NotFound, RetryLater, ServiceError
from carprice.pages import kept_forms
from carprice.pages.forms import add_errors

R = TypeVar("R", bound=HttpResponseBase)

AS_TYPED = gettext_lazy("This is the form as you typed it. Nothing has been done with it yet.")
MAX_NEXT_LENGTH = 2000  # Django raises for a redirect to an address of more than 2048 characters


class ServiceFormView(AccessMixin, FormView):  # type: ignore[type-arg]  # generic only in the stubs
    """Calls `submit` with the cleaned form; what the service refuses is shown in the form.

    A form outlives its session. Sent with a token that is no longer good, it is shown as it was
    typed; sent by somebody who must sign in first, it is shown so once they have. Neither comes
    to `post`, so nothing is done.
    """

    http_method_names = ["get", "head", "post", "options"]
    throttle_scope = "other"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        sentence = unconfirmed(request)
        if sentence and request.method == "POST":
            return self.show_again(status=403, sentence=sentence)
        fields = kept_forms.find(request)
        if fields is not None:
            self.request = kept_forms.as_sent(request, fields)
            return self.show_again(status=200)
        return super().dispatch(request, *args, **kwargs)

    def handle_no_permission(self) -> HttpResponse:  # type: ignore[override]  # no mere redirect
        """Ask to sign in; what was typed into a form comes back after that."""
        if self.request.method != "POST":
            return super().handle_no_permission()
        if is_htmx(self.request):
            return HttpResponseClientRefresh()
        return kept_forms.ask_to_sign_in(self.request)

    def show_again(self, *, status: int, sentence: str = "") -> HttpResponse:
        """The form as it was typed; with the key it had, so that it is done once in all."""
        form = self.get_form()
        if sentence:
            form.add_error(None, sentence)
        else:
            messages.info(self.request, AS_TYPED)
        context = self.get_context_data(form=form)
        with suppress(ValueError):
            context["form_key"] = UUID(self.request.POST.get("form_key", ""))
        return self.render_to_response(context, status=status)

    def submit(self, form: Any) -> HttpResponse:
        raise NotImplementedError

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        kept_forms.drop(request)
        form = self.get_form()
        try:
            throttling.count_request(request, self.throttle_scope)
            if form.is_valid():
                return self.submit(form)
        except InvalidInput as error:
            add_errors(form, error.errors)
        except RetryLater as error:
            form.add_error(None, error.detail)
            response = self.form_invalid(form, status=429)
            response["Retry-After"] = str(error.retry_after)
            return response
        except ServiceError as error:
            form.add_error(None, error.detail)
        return self.form_invalid(form)

    def form_invalid(self, form: Any, status: int = 422) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=status)


def mark_unconfirmed(request: HttpRequest, sentence: str) -> None:
    """Say of a form that nobody is known to have sent it on purpose, so that nothing is done."""
    request.unconfirmed = sentence  # type: ignore[attr-defined]  # read below


def unconfirmed(request: HttpRequest) -> str:
    """Why nothing may be done for this form; empty if it may."""
    return getattr(request, "unconfirmed", "")


def is_admin(request: HttpRequest) -> bool:
    """Whether the address is one of the admin's, which has pages of its own."""
    return request.path_info.startswith(f"/{settings.ADMIN_PATH}/")


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx sent the request, for a fragment of a page."""
    return bool(request.htmx)  # type: ignore[attr-defined]  # set by its middleware


def signed_in_fragment(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Like login_required, but a page whose session ends while it polls reloads as a whole."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if is_htmx(request) and not request.user.is_authenticated:
            return HttpResponseClientRefresh()
        return login_required(view)(request, *args, **kwargs)

    return wrapped


def missing_is_404(view: Callable[..., R]) -> Callable[..., R]:
    """Answer 404 where a service raises NotFound."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        try:
            return view(*args, **kwargs)
        except NotFound as error:
            raise Http404 from error

    return wrapped


def safe_next(request: HttpRequest, default: str) -> str:
    """Where to go after signing in: the `next` parameter if it is a path of this site."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if len(target) > MAX_NEXT_LENGTH:  # checking it would cost more the longer it is
        return default
    allowed = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # `redirect` would take a target that has no slash for the name of a URL pattern.
    usable = target.startswith("/") and len(iri_to_uri(target)) <= MAX_NEXT_LENGTH
    return target if allowed and usable else default

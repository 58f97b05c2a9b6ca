"""Base views of pages: forms whose service may refuse, fragments, redirects within the site."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.encoding import iri_to_uri
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.generic import FormView
from django_htmx.http import HttpResponseClientRefresh

from carprice.http import throttling
from carprice.http.errors import InvalidInput, NotFound, RetryLater, ServiceError
from carprice.pages.forms import add_errors

R = TypeVar("R", bound=HttpResponseBase)

MAX_NEXT_LENGTH = 2000  # Django raises for a redirect to an address of more than 2048 characters


class ServiceFormView(FormView):  # type: ignore[type-arg]  # generic only in the stubs
    """Calls `submit` with the cleaned form; what the service refuses is shown in the form."""

    http_method_names = ["get", "head", "post", "options"]
    throttle_scope = "other"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(form_key=uuid4(), **kwargs)

    def submit(self, form: Any) -> HttpResponse:
        raise NotImplementedError

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
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
    allowed = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    # `redirect` would take a target that has no slash for the name of a URL pattern.
    usable = target.startswith("/") and len(iri_to_uri(target)) <= MAX_NEXT_LENGTH
    return target if allowed and usable else default

"""/account/webhooks: endpoints, their secrets and their log.

A secret is shown on the page that follows its making, in the browser that asked for it: the session
remembers whose secret to show next, not the secret.
"""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from accounts.authentication import signed_in
from carprice.http import throttling
from carprice.http.pagination import CursorPages
from carprice.idempotency.forms import respond_once, submit_once
from carprice.pages.views import ServiceFormView, missing_is_404
from predictions.webhooks import services, signing
from predictions.webhooks.forms import EndpointForm

PAGE_SIZE = 25
PAGES = CursorPages("deliveries", order=("created_at", "id"))
SHOW_SECRET = "webhook_secret_to_show"  # noqa: S105  # the name of a session's entry


class WebhooksPage(LoginRequiredMixin, ServiceFormView):
    """One's endpoints, and a form for one more."""

    template_name = "webhooks/webhooks.html"
    form_class = EndpointForm
    throttle_scope = "webhook"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        endpoints = list(services.endpoints_of(signed_in(self.request)))
        return super().get_context_data(endpoints=endpoints, most=services.MAX_ENDPOINTS, **kwargs)

    def submit(self, form: EndpointForm) -> HttpResponse:
        def create() -> str:
            endpoint = services.create(user=signed_in(self.request), url=form.cleaned_data["url"])
            self.request.session[SHOW_SECRET] = str(endpoint.pk)
            return reverse("webhook", args=[endpoint.pk])

        address, _ = submit_once(self.request, create)
        return redirect(address)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@missing_is_404
def webhook(request: HttpRequest, webhook_id: UUID) -> HttpResponseBase:
    """One endpoint with what was sent to it, and its buttons."""
    if request.method == "POST":
        throttling.count_request(request, "webhook")
        return respond_once(request, lambda: _do(request, webhook_id))
    user = signed_in(request)
    endpoint = services.find(user=user, endpoint_id=webhook_id)
    page = PAGES.page_or_first(
        services.deliveries_of(endpoint), user.pk, request.GET.get("cursor"), PAGE_SIZE
    )
    secret = ""
    if request.method == "GET" and request.session.get(SHOW_SECRET) == str(endpoint.pk):
        del request.session[SHOW_SECRET]
        secret = signing.secret_of(endpoint.secret_seed)
    context = {"endpoint": endpoint, "page": page, "secret": secret}
    return render(request, "webhooks/webhook.html", context)


def _do(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """What the page's button says that was pressed."""
    own: dict[str, Any] = {"user": signed_in(request), "endpoint_id": webhook_id}
    services.find(**own)
    what = request.POST.get("do")
    if what == "delete":
        services.delete(**own)
        messages.success(request, gettext("The webhook is deleted."))
        return redirect("webhooks")
    if what == "secret":
        services.rotate_secret(**own)
        request.session[SHOW_SECRET] = str(webhook_id)
    elif what == "test":
        services.send_test(**own)
        messages.success(request, gettext("A test event is on its way."))
    elif what == "resend":
        services.resend(**own, delivery_id=_delivery_in(request))
        messages.success(request, gettext("It is sent again."))
    elif what in ("on", "off"):
        services.change(**own, enabled=what == "on")
    else:
        raise BadRequest("There is no such button.")
    return redirect("webhook", webhook_id)


def _delivery_in(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("delivery", ""))
    except ValueError:
        raise BadRequest("That is no delivery.") from None

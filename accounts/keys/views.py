from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from accounts.authentication import signed_in
from accounts.keys import services
from accounts.keys.forms import KeyForm
from accounts.keys.models import ApiKey
from carprice.http.errors import NotFound
from carprice.idempotency.forms import submit_once
from carprice.pages.views import ServiceFormView

NEW_KEY_COOKIE = "new_key"
SHOWN_WITHIN_SECONDS = 60


class KeysPage(LoginRequiredMixin, ServiceFormView):
    """One's API keys, and a form that makes another.

    The new key waits for the page that shows it, once, in a signed cookie of the browser that asked
    for it: nothing on the server keeps it, and a reload of the page neither shows nor makes one.
    """

    template_name = "accounts/keys.html"
    form_class = KeyForm

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        new_key = request.get_signed_cookie(
            NEW_KEY_COOKIE, "", salt=self._salt(), max_age=SHOWN_WITHIN_SECONDS
        )
        response = self.render_to_response(self.get_context_data(new_key=new_key))
        if NEW_KEY_COOKIE in request.COOKIES:
            response.delete_cookie(NEW_KEY_COOKIE, reverse("keys"), samesite="Strict")
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        keys = ApiKey.objects.shown_to(signed_in(self.request))
        return super().get_context_data(keys=keys, most=services.MOST_LIVE, **kwargs)

    def submit(self, form: KeyForm) -> HttpResponse:
        made: list[ApiKey] = []

        def work() -> str:
            made.append(services.make_key(user=signed_in(self.request), **form.cleaned_data))
            return reverse("keys")

        address, is_first = submit_once(self.request, work)
        response = redirect(address)
        if is_first:
            self._hand_over(made[0], response)
        else:
            messages.info(
                self.request,
                gettext(
                    "This form was sent twice; one key was made. "
                    "If you have not seen it, revoke it and make another."
                ),
            )
        return response

    def _hand_over(self, key: ApiKey, response: HttpResponse) -> None:
        response.set_signed_cookie(
            NEW_KEY_COOKIE,
            key.text,
            salt=self._salt(),
            max_age=SHOWN_WITHIN_SECONDS,
            path=reverse("keys"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )

    def _salt(self) -> str:
        """Nobody who signs in to the same browser next is shown the key."""
        return f"new key of {signed_in(self.request).pk}"


@require_POST
def revoke(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Revoke a key of one's own; one that is revoked stays so."""
    if not request.user.is_authenticated:  # this address itself only takes a POST
        return redirect_to_login(reverse("keys"))
    with suppress(NotFound):
        services.revoke_key(user=signed_in(request), key_id=key_id)
    messages.success(request, gettext("That key is worthless now."))
    return redirect("keys")

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from accounts.authentication import signed_in
from accounts.browsers import services
from accounts.services import end_sessions
from carprice.http import throttling


@require_POST
def end_browser(request: HttpRequest, key: str) -> HttpResponse:
    """Sign a browser of one's own out."""
    if not request.user.is_authenticated:  # this address itself only takes a POST
        return redirect_to_login(reverse("account"))
    throttling.count_request(request, "other")
    services.end(signed_in(request), key)
    messages.success(request, gettext("That browser is signed out."))
    return redirect("account")


@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    """Sign every other browser out, and every program."""
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("account"))
    throttling.count_request(request, "other")
    end_sessions(signed_in(request), keep=request.session.session_key or "")
    messages.success(request, gettext("You are signed out everywhere else."))
    return redirect("account")

from typing import Any

from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.browsers.devices import device_of
from accounts.browsers.store import SIGNED_IN


@receiver(user_logged_in)
def describe_session(request: HttpRequest, **_: Any) -> None:
    """Note when and from what somebody signed in; it is saved with the session."""
    device = device_of(request.headers.get("User-Agent", ""))
    request.session[SIGNED_IN] = (timezone.now().isoformat(), device)

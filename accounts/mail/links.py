"""Links in mails: each is for one purpose, one address and one account as it is now, for an hour.

Django's tokens make them so: in the hash is what using the link changes, so it works once, and a
new password or address ends it. Nothing is stored.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import models
from django.urls import reverse
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.utils.translation import gettext

from accounts.models import User
from carprice.http.errors import ServiceError

LONGEST = 600  # characters of a token; ours have less


class Purpose(models.TextChoices):
    """What a link is for, by the name of its page."""

    RESET = "password-reset"
    VERIFY = "address-verify"
    CHANGE = "address-confirm"


class DeadLink(ServiceError):
    """It was used, is too old, is of before a change of the account, or is no link of ours."""

    code = "dead_link"
    status = 410

    def __init__(self) -> None:
        super().__init__(gettext("This link is good no longer; ask for a new one."))


class _Tokens(PasswordResetTokenGenerator):
    def __init__(self, purpose: Purpose, address: str) -> None:
        super().__init__()
        self.key_salt = f"accounts.mail.{purpose}"
        self._address = address

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        """Without the last sign-in, which Django has: to sign in is no reason to ask once more."""
        state = [user.pk, user.password, user.email, self._address, timestamp]
        if self.key_salt.endswith(Purpose.VERIFY):
            state.append(user.is_verified)
        return " ".join(map(str, state))


def path(purpose: Purpose, user: User, address: str) -> str:
    """The path of a new link that goes to `address`."""
    token = _Tokens(purpose, address).make_token(user)
    text = f"{user.pk.hex} {token} {address}"
    return reverse(purpose.value, args=[urlsafe_base64_encode(text.encode())])


@dataclass(frozen=True)
class Opened:
    """Whose a good link is, and the address that it went to."""

    user: User
    address: str


def open_link(purpose: Purpose, text: str, *, lock: bool = False) -> Opened:
    """Raises DeadLink. With `lock`, in a transaction, the account stays as it is until its end."""
    try:
        if len(text) > LONGEST:
            raise DeadLink
        key, token, address = urlsafe_base64_decode(text).decode("ascii").split(" ")
        users = User.objects.filter(pk=UUID(key), is_active=True)
    except ValueError:  # of which UnicodeError is one
        raise DeadLink from None
    user = (users.select_for_update() if lock else users).first()
    if user is None or not _Tokens(purpose, address).check_token(user, token):
        raise DeadLink
    return Opened(user, address)

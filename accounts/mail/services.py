"""What is asked for and done by mail: a forgotten password, a verified address, another address."""

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.utils.translation import gettext

from accounts.mail import links, queue
from accounts.mail.links import DeadLink, Purpose
from accounts.models import User
from accounts.services import check_own_password, checked_password, end_sessions
from carprice.http import throttling
from carprice.http.errors import InvalidInput, ServiceError, WrongState

Kind = queue.Kind


class EmailNotVerified(ServiceError):
    code = "email_not_verified"
    status = 403


def require_verified(user: User) -> None:
    """Raise EmailNotVerified for who must first follow the link that was sent to them."""
    if settings.VERIFY_EMAIL and not user.is_verified:
        raise EmailNotVerified(gettext("First follow the link that was sent to your address."))


def ask_for_reset(email: str, *, site: str) -> None:
    """Have a link sent to whoever has this address. Raises TooManyRequests.

    Nothing here depends on whether anybody has: the same is counted and written, and the worker
    that is to send the mail finds out.
    """
    email = User.objects.normalize_email(email)
    count_mail_to(email)
    queue.put(Kind.RESET, email, site=site)


def reset_password(token: str, password: str, *, site: str) -> None:
    """Give the account of a link another password, and end all its sessions.

    Raises DeadLink, or InvalidInput for a weak password. Of several uses at once one succeeds.
    """
    user = links.open_link(Purpose.RESET, token).user
    hashed = make_password(checked_password(password, user))  # slow on purpose, so without a lock
    with transaction.atomic():
        user = links.open_link(Purpose.RESET, token, lock=True).user
        user.password = hashed
        user.is_verified = True  # for the link went to the address
        user.save(update_fields=["password", "is_verified"])
        end_sessions(user)
        queue.put(Kind.PASSWORD_CHANGED, user.email, site=site, user=user)


def ask_for_verification(user: User, *, site: str) -> None:
    """Send the link once more. Raises WrongState if there is no need, or TooManyRequests."""
    if not settings.VERIFY_EMAIL or user.is_verified:
        raise WrongState(gettext("Your e-mail address is verified."))
    count_mail_to(user.email)
    queue.put(Kind.VERIFY, user.email, site=site, user=user)


@transaction.atomic
def verify_address(token: str) -> User:
    """Raises DeadLink, also for a link that was used."""
    user = links.open_link(Purpose.VERIFY, token, lock=True).user
    user.is_verified = True
    user.save(update_fields=["is_verified"])
    return user


def ask_for_address(
    user: User, *, email: str, current_password: str, address: str, site: str
) -> None:
    """Have a link sent to a new address, and tell the old one. `address` is the client's.

    Raises InvalidInput if it is not their password, or TooManyRequests. Who else has the new
    address is not told: there, no link is sent.
    """
    owner = check_own_password(user, current_password, address=address)
    email = User.objects.normalize_email(email)
    if email == owner.email:
        raise InvalidInput({"email": [gettext("This is your address already.")]})
    count_mail_to(email)
    with transaction.atomic():
        queue.put(Kind.CONFIRM_ADDRESS, email, site=site, user=owner)
        queue.put(Kind.ADDRESS_ASKED, owner.email, site=site, user=owner)


def change_address(token: str, *, site: str, keep: str = "") -> User:
    """Give an account the address that a link went to, and end its other sessions.

    `keep` is the key of the browser's session that goes on. Raises DeadLink, also if somebody has
    taken the address since.
    """
    try:
        with transaction.atomic():
            opened = links.open_link(Purpose.CHANGE, token, lock=True)
            user, former = opened.user, opened.user.email
            user.email, user.is_verified = opened.address, True
            user.save(update_fields=["email", "is_verified"])
            end_sessions(user, keep=keep)
            queue.put(Kind.ADDRESS_CHANGED, former, site=site, user=user)
    except IntegrityError:
        raise DeadLink from None
    return user


def count_mail_to(address: str) -> None:
    """Raises TooManyRequests if a mailbox is sent too much."""
    throttling.count("mail", f"mailbox:{address.lower()}")

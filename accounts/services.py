"""Signing up, checking credentials, and the renewal, end and purge of token sessions."""

from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext
from rest_framework_simplejwt.exceptions import TokenError

from accounts.browsers import services as browsers
from accounts.mail import queue
from accounts.models import TokenSession, User
from accounts.normalization import normalize_password, validate_address
from accounts.tokens import SessionRefreshToken, find_session
from carprice.http import throttling
from carprice.http.errors import InvalidInput, ServiceError

Kind = queue.Kind
PURGED_AT_ONCE = 500
# Tokens are dated by the clocks of web processes, sessions by that of the database.
CLOCK_TOLERANCE = timedelta(hours=1)


class EmailTaken(ServiceError):
    code = "email_taken"
    status = 409


class InvalidCredentials(ServiceError):
    code = "invalid_credentials"
    status = 401


class RefreshRefused(ServiceError):
    code = "not_authenticated"
    status = 401


def change_name(user: User, name: str) -> None:
    user.name = name
    user.save(update_fields=["name"])


def change_password(
    user: User, *, current_password: str, password: str, address: str, site: str, keep: str = ""
) -> User:
    """Give an account another password, end its sessions and tokens, and tell by mail.

    `keep` is the key of the browser's session that goes on.

    Raises InvalidInput for a weak password or a wrong current one, or TooManyRequests.
    """
    owner = check_own_password(user, current_password, address=address)
    password = checked_password(password, owner)
    owner.set_password(password)
    with transaction.atomic():
        owner.save(update_fields=["password"])
        end_sessions(owner, keep=keep)
        queue.put(Kind.PASSWORD_CHANGED, owner.email, site=site, user=owner)
    return owner


def check_own_password(user: User, password: str, *, address: str) -> User:
    """The user, read again. Raises InvalidInput if it is not their password, or TooManyRequests."""
    try:
        return check_credentials(email=user.email, password=password, address=address)
    except InvalidCredentials:
        raise InvalidInput({"current_password": [gettext("This is not your password.")]}) from None


def checked_password(password: str, user: User) -> str:
    """The password as it is stored. Raises InvalidInput if it is weak."""
    password = normalize_password(password)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput({"password": error.messages}) from error
    return password


def sign_up(*, email: str, password: str, name: str = "", site: str = "") -> User:
    """Create an account. Raises EmailTaken, or InvalidInput for a weak password or the address.

    Where addresses are verified, a link to `site` is sent to it.
    """
    email = User.objects.normalize_email(email)
    user = User(email=email, name=name, is_verified=not settings.VERIFY_EMAIL)
    try:
        validate_address(user.email)
    except ValidationError as error:
        raise InvalidInput({"email": error.messages}) from error
    user.set_password(checked_password(password, user))
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            if not user.is_verified:
                queue.put(Kind.VERIFY, user.email, site=site, user=user)
    except IntegrityError as error:
        raise EmailTaken(gettext("An account with this e-mail address exists.")) from error
    return user


def check_credentials(*, email: str, password: str, address: str) -> User:
    """The active user they belong to. Raises InvalidCredentials, or TooManyRequests.

    Wrong attempts are counted by account and address together, so that guessing from elsewhere
    cannot lock the owner out.
    """
    email = User.objects.normalize_email(email)
    key = f"{email.lower()}:{address}"
    throttling.check("wrong_sign_in", key)
    try:
        user = User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        user = User()  # no password fits, and finding that out takes as long as with any other
    if not (user.check_password(password) and user.is_active):
        throttling.count("wrong_sign_in", key)
        raise InvalidCredentials(gettext("The e-mail address or the password is wrong."))
    return user


def refresh_session(*, refresh_token: str) -> TokenSession:
    """Give a session its next refresh token. Raises RefreshRefused.

    Of several uses of one token exactly one succeeds, even at the same moment. Any other use shows
    that somebody has a copy, and ends the session.
    """
    refused = RefreshRefused("This refresh token is not valid; sign in again.")
    try:
        used = SessionRefreshToken(refresh_token)  # type: ignore[arg-type]  # its stub is wrong
        session = find_session(used.session_id)
    except (TokenError, TokenSession.DoesNotExist):
        raise refused from None
    # The row names the one refresh token that is good. A conditional UPDATE replaces it, so of
    # several requests with that token only the first changes a row. Each UPDATE is a transaction
    # of its own: the end of the session must stay although the request is refused.
    unended = TokenSession.objects.filter(pk=session.pk, ended_at=None)
    session.refresh_id = uuid4()
    if session.is_valid() and unended.filter(refresh_id=used.id).update(
        refresh_id=session.refresh_id, expires_at=Now() + SessionRefreshToken.lifetime
    ):
        return session
    unended.exclude(refresh_id=used.id).update(ended_at=Now())
    raise refused


def end_session(session_id: UUID) -> None:
    """Make all its tokens worthless; a session that has ended stays as it is."""
    TokenSession.objects.filter(pk=session_id, ended_at=None).update(ended_at=Now())


def end_sessions(user: User, *, keep: str = "") -> None:
    """End every session of programs and browsers, but for the browser's whose key is `keep`."""
    browsers.end_all(user, keep=keep)
    user.token_sessions.filter(ended_at=None).update(ended_at=Now())


def end_session_of(user: User, session_id: UUID) -> None:
    """The same with a session of this user; another's stays as it is."""
    if TokenSession.objects.filter(pk=session_id, user=user).exists():
        end_session(session_id)


@transaction.atomic
def purge_expired_sessions() -> int:
    """Delete sessions none of whose tokens is good any more, PURGED_AT_ONCE at most.

    Returns how many were deleted. Processes that purge at the same time skip each other's rows.
    """
    expired = TokenSession.objects.filter(expires_at__lt=Now() - CLOCK_TOLERANCE)
    locked = expired.select_for_update(skip_locked=True).order_by("expires_at")
    keys = list(locked.values_list("pk", flat=True)[:PURGED_AT_ONCE])
    return expired.filter(pk__in=keys).delete()[0]

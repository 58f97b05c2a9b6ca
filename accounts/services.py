"""What a stranger may ask for: an account, and a way in."""

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts.models import User
from carprice import throttling
from carprice.errors import InvalidInput, ServiceError


class EmailTaken(ServiceError):
    code = "email_taken"


class InvalidCredentials(ServiceError):
    code = "invalid_credentials"


def sign_up(*, email: str, password: str, name: str = "") -> User:
    """Create an account. Raises InvalidInput for a weak password or an address, EmailTaken."""
    # Beyond ASCII, addresses exist that look alike and that databases fold differently.
    if not email.isascii():
        raise InvalidInput({"email": ["Enter a valid e-mail address, in ASCII."]})
    user = User(email=User.objects.normalize_email(email), name=name)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidInput({"password": error.messages}) from error
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        raise EmailTaken("An account with this e-mail address exists.") from error
    return user


def check_credentials(*, email: str, password: str, address: str) -> User:
    """The active user they belong to. Raises InvalidCredentials, or TooManyRequests.

    Wrong tries are counted for an account as seen from one address, so that guessing from
    elsewhere cannot lock its owner out.
    """
    key = f"{email.lower()}:{address}"
    throttling.check("wrong_sign_in", key)
    user = authenticate(username=email, password=password)
    if not isinstance(user, User):
        throttling.count("wrong_sign_in", key)
        raise InvalidCredentials("The e-mail address or the password is wrong.")
    return user

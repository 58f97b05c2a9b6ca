"""Codes of operators: a program is enrolled, its codes are checked, a lost one is reset."""

import base64
import hashlib
import secrets
import time
from hmac import compare_digest
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from accounts.services import end_sessions
from accounts.totp import sealing
from accounts.totp.models import Authenticator, RecoveryCode
from carprice.http import throttling
from carprice.http.errors import InvalidInput, WrongState

STEP_SECONDS = 30
STEPS_APART = 1  # how far the two clocks may be
RECOVERY_CODES = 10


def is_enrolled(user: User) -> bool:
    return Authenticator.objects.filter(pk=user.pk, confirmed_at__isnull=False).exists()


def begin(user: User) -> Authenticator:
    """The authenticator that is to be enrolled, the same until it is. Then raises WrongState."""
    sealed = sealing.seal(secrets.token_bytes(sealing.SECRET_BYTES))
    row, _ = Authenticator.objects.get_or_create(user=user, defaults={"sealed_secret": sealed})
    if row.confirmed_at is not None:
        raise WrongState(gettext("An authenticator is enrolled already."))
    return row


def secret_of(row: Authenticator) -> str:
    """As a person may type it into the program."""
    return _base32(sealing.candidates(row.sealed_secret)[0])


def address_of(row: Authenticator) -> str:
    """What the program reads from the picture."""
    from pyotp import TOTP

    return TOTP(secret_of(row)).provisioning_uri(name=row.user.email, issuer_name="Carprice")


def confirm(user: User, code: str) -> list[str]:
    """Enroll the program that shows this code. Returns the recovery codes, which are stored hashed.

    Raises InvalidInput for a wrong code, WrongState if one is enrolled, or TooManyRequests.
    """
    throttling.count("code", f"account:{user.pk}")
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().filter(pk=user.pk).first()
        if row is None or row.confirmed_at is not None:
            raise WrongState(gettext("An authenticator is enrolled already."))
        if not _accept(row, _clean(code)):
            raise _wrong_code()
        Authenticator.objects.filter(pk=user.pk).update(confirmed_at=Now())
        codes = [_base32(secrets.token_bytes(10)) for _ in range(RECOVERY_CODES)]
        RecoveryCode.objects.bulk_create(
            RecoveryCode(authenticator=row, digest=_digest(each)) for each in codes
        )
    return [f"{each[:4]}-{each[4:8]}-{each[8:12]}-{each[12:]}" for each in codes]


def check(user: User, code: str) -> None:
    """Use a code of the program, or a recovery code up. Each is good once, even at one moment.

    Raises InvalidInput for any other, or TooManyRequests.
    """
    throttling.count("code", f"account:{user.pk}")
    row = Authenticator.objects.filter(pk=user.pk, confirmed_at__isnull=False).first()
    code = _clean(code)
    if row is None or not (_accept(row, code) or _use_up(row, code)):
        raise _wrong_code()


@transaction.atomic
def reset(user: User) -> None:
    """Forget a lost authenticator, and end all sessions, of which one may be the finder's."""
    Authenticator.objects.filter(pk=user.pk).delete()
    end_sessions(user)


def _accept(row: Authenticator, code: str) -> bool:
    """Whether it is a code of about now, newer than the last one that was used."""
    for index, secret in enumerate(sealing.candidates(row.sealed_secret)):
        step = _step_of(secret, code)
        if step is None:
            continue
        values: dict[str, Any] = {"last_step": step}
        if index > 0:  # by a former SECRET_KEY, which is about to be dropped
            values |= {"sealed_secret": sealing.seal(secret)}
        unused = Authenticator.objects.filter(pk=row.pk, last_step__lt=step)
        return bool(unused.update(**values))
    return False


def _step_of(secret: bytes, code: str) -> int | None:
    from pyotp import TOTP

    program = TOTP(_base32(secret))
    now = int(time.time()) // STEP_SECONDS
    steps = range(now - STEPS_APART, now + STEPS_APART + 1)
    matching = [step for step in steps if compare_digest(program.generate_otp(step), code)]
    return matching[-1] if matching else None


def _use_up(row: Authenticator, code: str) -> bool:
    return bool(row.recovery_codes.filter(digest=_digest(code)).delete()[0])


def _clean(code: str) -> str:
    """As it is compared: people leave gaps in codes, and type small letters."""
    text = "".join(code.split()).replace("-", "").upper()
    return text if text.isascii() else ""


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _base32(secret: bytes) -> str:
    return base64.b32encode(secret).decode()


def _wrong_code() -> InvalidInput:
    return InvalidInput({"code": [gettext("This code is wrong, or was used already.")]})

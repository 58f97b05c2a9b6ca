"""Making and revoking API keys."""

import secrets
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.keys.lookup import START, digest
from accounts.keys.models import PREFIX_LENGTH, ApiKey, ApiKeyQuerySet
from accounts.models import User
from carprice.http.errors import NotFound, WrongState

MOST_LIVE = 20  # of one user
MOST_DEAD = 20  # the newest are kept, for operators; else keys made in a loop would fill the table
MOST_DAYS = 3650
SECRET_BYTES = 32


@transaction.atomic
def make_key(*, user: User, name: str, access: str, expires_in_days: int | None = None) -> ApiKey:
    """A new key, which has its `text` this once. Raises WrongState with MOST_LIVE live ones."""
    User.objects.select_for_update(no_key=True).only("pk").get(pk=user.pk)
    own = ApiKey.objects.filter(user=user)
    if own.live().count() >= MOST_LIVE:
        raise WrongState(
            gettext("You have %(count)d API keys; revoke one first.") % {"count": MOST_LIVE}
        )
    oldest_dead = own.dead().order_by("-created_at", "-id").values_list("pk", flat=True)[MOST_DEAD:]
    own.filter(pk__in=list(oldest_dead)).delete()
    text = START + secrets.token_hex(SECRET_BYTES)
    key = own.create(
        user=user,
        name=name,
        access=access,
        prefix=text[:PREFIX_LENGTH],
        digest=digest(text),
        expires_at=Now() + timedelta(days=expires_in_days) if expires_in_days else None,
    )
    key.refresh_from_db()
    key.text = text
    return key


def revoke_key(*, user: User, key_id: UUID) -> None:
    """Make a key worthless. Raises NotFound; of two revocations, in one of them."""
    if not revoke(ApiKey.objects.filter(pk=key_id, user=user)):
        raise NotFound(gettext("There is no such API key."))


def revoke(keys: ApiKeyQuerySet) -> int:
    """Make keys worthless. Returns how many were not revoked before."""
    return keys.filter(revoked_at=None).update(revoked_at=Now())

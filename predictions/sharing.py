"""Links by which anybody sees one finished prediction, for a while: its result, not its owner."""

import re
import secrets
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from carprice.http.errors import NotFound, WrongState
from predictions.models import Prediction, ShareLink
from predictions.services import lock_own

TOKEN_BYTES = 32
TOKEN = re.compile(r"[\w-]{43}", re.ASCII)  # what they are in base64


@transaction.atomic
def share(*, user: User, prediction_id: UUID) -> ShareLink:
    """The prediction's link, a new one if it has none that is good. Raises NotFound, WrongState."""
    row = lock_own(user, prediction_id)
    if row.status != Prediction.Status.FINISHED:
        raise WrongState(gettext("Only what has finished can be shared."))
    link = find_link(row)
    if link is None:
        ShareLink.objects.filter(prediction=row).delete()
        link = ShareLink.objects.create(
            token=secrets.token_urlsafe(TOKEN_BYTES),
            prediction=row,
            expires_at=Now() + timedelta(days=settings.SHARE_LINK_DAYS),
        )
        link.refresh_from_db()
    return link


@transaction.atomic
def revoke(*, user: User, prediction_id: UUID) -> None:
    """Make the prediction's link lead nowhere. Raises NotFound."""
    row = lock_own(user, prediction_id)
    ShareLink.objects.filter(prediction=row).delete()


def find_link(row: Prediction) -> ShareLink | None:
    """The prediction's link, unless it has expired."""
    return ShareLink.objects.filter(prediction=row, expires_at__gt=Now()).first()


def find_shared(token: str) -> Prediction:
    """The prediction that a link leads to. Raises NotFound."""
    rows = Prediction.objects.for_display().filter(erased_at=None, value__isnull=False)
    shared = rows.filter(share_link__token=token, share_link__expires_at__gt=Now())
    row = shared.first() if TOKEN.fullmatch(token) else None
    if row is None:
        raise NotFound(gettext("This link has expired, or was revoked."))
    return row

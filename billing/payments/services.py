"""Vouchers: making, redeeming and revoking them.

Each function locks the voucher before the account that it credits.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from accounts.models import User
from billing import services as ledger
from billing.payments import codes
from billing.payments.models import Voucher
from carprice.http import throttling
from carprice.http.errors import InvalidInput, WrongState

MOST_AT_ONCE = 1000


@transaction.atomic
def make_vouchers(
    *,
    seed: str,
    count: int,
    credit: int,
    actor: User,
    expires_at: datetime | None = None,
    note: str = "",
) -> UUID:
    """Make a batch of vouchers, whose codes `codes.derive` tells; returns the batch's id.

    Raises InvalidInput above the limits of one batch, or of what an operator makes in 24 hours.
    """
    if not 1 <= count <= MOST_AT_ONCE:
        raise InvalidInput({"count": [f"Enter 1 to {MOST_AT_ONCE:,} vouchers."]})
    if not 1 <= credit <= settings.TOP_UP_LIMIT:
        raise InvalidInput({"credit": [f"Enter 1 to {settings.TOP_UP_LIMIT:,} credits."]})
    if expires_at and expires_at <= datetime.now(UTC):
        raise InvalidInput({"expires_at": ["Enter a time to come."]})
    _refuse_beyond_largest(count * credit, actor)
    batch_id = uuid4()
    Voucher.objects.bulk_create(
        Voucher(
            code_hash=codes.digest(codes.normalize(code)),
            beginning=code[: codes.GROUP],
            credits=credit,
            note=note,
            batch_id=batch_id,
            created_by=actor,
            expires_at=expires_at,
        )
        for code in codes.derive(seed, count)
    )
    return batch_id


def _refuse_beyond_largest(credit: int, actor: User) -> None:
    """Refuse what would make an operator's vouchers of 24 hours worth more than they may be."""
    User.objects.select_for_update(no_key=True).only("pk").get(pk=actor.pk)
    recent = Voucher.objects.filter(
        created_by=actor, created_at__gt=Now() - ledger.CORRECTIONS_ADD_UP_FOR
    )
    made = recent.aggregate(credits=Sum("credits"))["credits"] or 0
    left = max(0, settings.LARGEST_VOUCHERS - made)
    if credit > left:
        limit = f"One operator makes vouchers of at most {settings.LARGEST_VOUCHERS:,} credits"
        raise InvalidInput({"count": [f"{limit} in 24 hours; you have {left:,} left."]})


def redeem(*, user: User, code: str, address: str) -> Voucher:
    """Add the credits of a voucher, once. It counts whatever way to add credits is open.

    Raises InvalidInput for a code of no voucher, WrongState for one that is used, expired or
    revoked, which nobody learns without the whole code, or TooManyRequests. Wrong codes are counted
    by account and by address, each by itself: either comes by the score.
    """
    keys = (f"account:{user.pk}", f"address:{address}")
    for key in keys:
        throttling.check("wrong_voucher", key)
    normalized = codes.normalize(code)
    if not normalized:
        raise InvalidInput({"code": [_("A code has 20 letters and digits.")]})
    with transaction.atomic():
        code_hash = codes.digest(normalized)
        voucher = Voucher.objects.select_for_update().filter(code_hash=code_hash).first()
        if voucher is not None:
            return _redeem(voucher, user)
    throttling.count("wrong_voucher", *keys)
    raise InvalidInput({"code": [_("There is no voucher with this code.")]})


def _redeem(voucher: Voucher, user: User) -> Voucher:
    refusals = {
        "redeemed": _("This voucher has been redeemed."),
        "revoked": _("This voucher has been revoked."),
        "expired": _("This voucher has expired."),
    }
    if voucher.state in refusals:
        raise WrongState(refusals[voucher.state])
    if voucher.created_by_id == user.pk:
        raise ledger.OwnAccount(_("You made this voucher; it is for others."))
    voucher.entry = ledger.top_up(
        user_id=user.pk, amount=voucher.credits, reason=f"Voucher {voucher}"
    )
    voucher.redeemed_at = voucher.entry.created_at
    voucher.save(update_fields=["entry", "redeemed_at"])
    return voucher


@transaction.atomic
def revoke(*, voucher_ids: Collection[int], actor: User) -> int:
    """Make vouchers worthless; returns how many. What was redeemed, or had expired, stays so."""
    return (
        Voucher.objects.open().filter(pk__in=voucher_ids).update(revoked_at=Now(), revoked_by=actor)
    )

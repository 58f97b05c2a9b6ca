"""Deleting an account: what is personal goes, the ledger stays, without a person.

At once, in one transaction, the user row becomes a husk that nobody can sign in to. Everything else
is erased in steps of bounded transactions, begun by the request and gone on with by workers until
nothing is left; each step may be done again, so a crash costs nothing but time.

Requests that were let in before may still write: a draft, a top-up, a prediction. So the steps are
repeated until GRACE has passed, longer than any request takes. The last credits are forfeited, and
without credits nothing can be bought; what was queued is canceled, and what a worker is scoring
ends first, since its claim is not ours to take.
"""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.admin.models import LogEntry
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from accounts.services import InvalidCredentials, check_credentials
from billing.models import CreditAccount
from billing.services import forfeit, resolve_holds
from carprice.http.errors import InvalidInput, WrongState
from predictions.models import Prediction
from predictions.personal_data.models import AccountDeletion
from predictions.services import erase_ended

GRACE = timedelta(minutes=5)
BATCH = 500  # rows of one transaction
FORFEITED = "The account was deleted by its owner; what remained is forfeited."
ANONYMOUS = "deleted account"

Status = Prediction.Status


def delete_account(*, user: User, password: str, address: str) -> None:
    """Delete one's own account, for good.

    Raises InvalidInput for a wrong password, WrongState for an operator, or TooManyRequests.
    """
    try:
        check_credentials(email=user.email, password=password, address=address)
    except InvalidCredentials:
        raise InvalidInput({"password": [gettext("This is not your password.")]}) from None
    close(user.pk)
    erase(user.pk, seconds=1)


@transaction.atomic
def close(user_id: UUID) -> None:
    """Make the user row a husk, and remember that the rest is to be erased. Raises WrongState.

    Operators are refused: what they did names them, and one of them is the last superuser.
    """
    User.objects.select_for_update(no_key=True).get(pk=user_id)
    if not User.objects.filter(pk=user_id, **User.WITHOUT_RIGHTS).exists():
        raise WrongState(
            gettext("An operator's account is not deleted; have a superuser take its rights first.")
        )
    AccountDeletion.objects.get_or_create(user_id=user_id)
    _anonymize(user_id)


def resume(*, seconds: float) -> None:
    """Go on with deletions that are not finished, the oldest first, until the time is up."""
    ends = time.monotonic() + seconds
    unfinished = AccountDeletion.objects.filter(finished_at=None).order_by("requested_at")
    for user_id in unfinished.values_list("pk", flat=True):
        left = ends - time.monotonic()
        if left <= 0 or not erase(user_id, seconds=left):
            return


def erase(user_id: UUID, *, seconds: float) -> bool:
    """Go over all that belongs to a deleted account once. False if the time was up before."""
    ends = time.monotonic() + seconds
    deletion = AccountDeletion.objects.filter(pk=user_id, finished_at=None)
    is_quiet = deletion.filter(requested_at__lt=Now() - GRACE).exists()
    _anonymize(user_id)
    for step in (_cancel_queued, _delete_drafts, *_deleting_what_belongs(user_id)):
        while step(user_id):
            if time.monotonic() >= ends:
                return False
    forfeit(user_id=user_id, reason=FORFEITED)
    for batch in _erasable(user_id).only("created_at").newest_batches(BATCH):
        _erase_batch([row.pk for row in batch])
        if time.monotonic() >= ends:
            return False
    if is_quiet and not _is_anything_left(user_id):
        deletion.update(finished_at=Now())
    return True


def _anonymize(user_id: UUID) -> None:
    User.objects.filter(pk=user_id).update(
        email=f"{user_id.hex}@deleted.invalid",  # RFC 2606: nobody ever has such an address
        name="",
        password=make_password(None),
        is_active=False,
        last_login=None,
    )
    LogEntry.objects.filter(
        object_id=str(user_id),
        content_type__in=ContentType.objects.get_for_models(User, CreditAccount).values(),
    ).update(object_repr=ANONYMOUS)


@transaction.atomic
def _cancel_queued(user_id: UUID) -> int:
    rows = list(_locked(user_id, Status.QUEUED)[:BATCH])
    holds = [row.hold_id for row in rows if row.hold_id is not None]
    Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.CANCELED, finished_at=Now()
    )
    resolve_holds(released=holds)
    return len(rows)


@transaction.atomic
def _delete_drafts(user_id: UUID) -> int:
    keys = [row.pk for row in _locked(user_id, Status.DRAFT)[:BATCH]]
    Prediction.objects.filter(pk__in=keys).delete()
    return len(keys)


def _locked(user_id: UUID, status: str) -> models.QuerySet[Prediction]:
    rows: models.QuerySet[Prediction] = Prediction.objects.filter(user_id=user_id, status=status)
    return rows.only("hold_id").select_for_update(no_key=True, of=("self",)).order_by("pk")


def _deleting_what_belongs(user_id: UUID) -> Iterator[Callable[[UUID], int]]:
    """A step for each table whose rows the database would delete with the user: tokens, keys.

    So whatever an app keeps of a person is gone if it refers to the user by CASCADE. Credits stay,
    and so does what an operator did in the admin.
    """
    for relation in User._meta.get_fields(include_hidden=True):  # noqa: SLF001  # a public API
        if (
            getattr(relation, "on_delete", None) is models.CASCADE
            and relation.auto_created
            and relation.related_model not in (CreditAccount, LogEntry)
        ):
            yield _deleting(relation.related_model, relation.field.name)  # type: ignore[union-attr,arg-type]


def _deleting(model: type[models.Model], field: str) -> Callable[[UUID], int]:
    rows = model._base_manager  # noqa: SLF001  # a public API in spite of its name

    def step(user_id: UUID) -> int:
        keys = list(rows.filter(**{field: user_id}).values_list("pk", flat=True)[:BATCH])
        rows.filter(pk__in=keys).delete()
        return len(keys)

    return step


def _erasable(user_id: UUID) -> Any:
    return Prediction.objects.filter(user_id=user_id, erased_at=None, status__in=Prediction.ENDED)


@transaction.atomic
def _erase_batch(keys: list[UUID]) -> None:
    rows = Prediction.objects.filter(pk__in=keys, erased_at=None).order_by("pk")
    locked = rows.select_for_update(no_key=True, skip_locked=True).values_list("pk", flat=True)
    erase_ended(list(locked))


def _is_anything_left(user_id: UUID) -> bool:
    account = CreditAccount.objects.get(pk=user_id)
    unerased = Prediction.objects.filter(user_id=user_id, erased_at=None)
    return bool(account.balance) or unerased.exists()

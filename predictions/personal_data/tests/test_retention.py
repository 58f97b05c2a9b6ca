"""What is kept no longer, and what stays."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone

from accounts.models import TokenSession, User
from accounts.tokens import open_session
from billing.models import CreditAccount
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services, sharing, tasks
from predictions.audit import breaches, check_and_record
from predictions.execution import claims, runner
from predictions.models import AuditRun, Prediction, ShareLink
from predictions.personal_data import retention
from predictions.personal_data.models import RetentionRun

pytestmark = pytest.mark.django_db
CAR = {"brand": "bmw", "horsepower": 121}
DAYS = 30
Finish = Callable[..., Prediction]


def age(row: Prediction, days: float) -> None:
    """As if all that happened to it had happened so long ago."""
    moments = ("created_at", "queued_at", "started_at", "finished_at")
    past = timedelta(days=days)
    values = {name: getattr(row, name) - past for name in moments if getattr(row, name)}
    Prediction.objects.filter(pk=row.pk).update(**values)


@pytest.fixture
def finish(user: User, predictor: Predictor) -> Finish:
    def finish(days: float) -> Prediction:
        row = services.request_prediction(user=user, predictor=predictor, data=CAR)
        runner.run_queued(Prediction, row.version_id)
        row.refresh_from_db()
        age(row, days)
        return row

    return finish


def unerased() -> set[Any]:
    return set(Prediction.objects.filter(erased_at=None).values_list("pk", flat=True))


def test_old_inputs_and_results_are_erased_and_their_charges_stay(
    user: User, predictor: Predictor, finish: Finish
) -> None:
    old, young = finish(DAYS + 1), finish(DAYS - 1)

    pruning = retention.prune(days=DAYS)

    old.refresh_from_db()
    assert (old.data, old.value, old.status) == ({}, None, "finished")
    assert unerased() == {young.pk}
    assert pruning.rows["predictions"] == 1
    assert services.was_erased(user, old.pk)
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000 - 2 * predictor.price
    assert not breaches()


def test_with_nothing_set_everything_is_kept(
    user: User, predictor: Predictor, finish: Finish
) -> None:
    old = finish(5000)
    draft = services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    age(draft, 5000)

    retention.prune(days=0)
    assert retention.prune_when_due(seconds=10) is None

    assert unerased() == {old.pk, draft.pk}
    assert not RetentionRun.objects.exists()


def test_old_drafts_are_deleted_and_old_canceled_ones_erased(
    user: User, predictor: Predictor
) -> None:
    drafts = [
        services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
        for _ in range(3)
    ]
    old, canceled, young = drafts
    services.cancel(user=user, prediction_id=canceled.pk)
    for row in (old, canceled):
        row.refresh_from_db()
        age(row, DAYS + 1)

    pruning = retention.prune(days=DAYS)

    assert unerased() == {young.pk}
    assert not Prediction.objects.filter(pk=old.pk).exists()
    assert (pruning.rows["drafts"], pruning.rows["predictions"]) == (1, 1)


def test_what_has_expired_goes_in_any_case(user: User, finish: Finish) -> None:
    row = finish(0)
    sharing.share(user=user, prediction_id=row.pk)
    open_session(user)
    past = timezone.now() - timedelta(days=2)
    Session.objects.create(session_key="old", session_data="", expire_date=past)
    IdempotencyKey.objects.create(user=user, key="old", fingerprint="", created_at=past)
    ShareLink.objects.update(expires_at=past)
    TokenSession.objects.update(expires_at=past)

    pruning = retention.prune(days=0)

    expired = ("idempotency keys", "token sessions", "web sessions", "share links")
    assert {kind: pruning.rows[kind] for kind in expired} == dict.fromkeys(expired, 1)
    for model in (Session, IdempotencyKey, ShareLink, TokenSession):
        assert not model.objects.exists()
    assert unerased() == {row.pk}


def test_the_newest_record_of_an_audit_is_kept() -> None:
    for _ in range(3):
        check_and_record()
    AuditRun.objects.update(ended_at=timezone.now() - timedelta(days=DAYS + 1))

    pruning = retention.prune(days=DAYS)

    assert pruning.rows["audit runs"] == 2
    assert AuditRun.objects.count() == 1


def test_a_dry_run_counts_the_same_and_changes_nothing(settings: Any, finish: Finish) -> None:
    settings.RETENTION_DAYS = DAYS
    old = finish(DAYS + 1)
    dry, wet = StringIO(), StringIO()

    call_command("prune", "--dry-run", "--json", stdout=dry)
    kept, runs = unerased(), RetentionRun.objects.count()
    call_command("prune", "--json", stdout=wet)

    assert (kept, runs) == ({old.pk}, 0)
    assert not unerased()
    assert json.loads(dry.getvalue())["rows"] == json.loads(wet.getvalue())["rows"]
    assert json.loads(wet.getvalue())["rows"]["predictions"] == 1


def test_a_walk_goes_on_where_everything_behind_it_is_erased(
    user: User, predictor: Predictor, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    first = [finish(DAYS + 3) for _ in range(3)]
    stuck = services.request_prediction(user=user, predictor=predictor, data=CAR)
    assert claims.claim_first_attempts(Prediction, stuck.version_id)
    Prediction.objects.filter(pk=stuck.pk).update(
        queued_at=timezone.now() - timedelta(days=DAYS + 2)
    )
    last = [finish(DAYS + 1) for _ in range(3)]

    pruning = retention.prune(days=DAYS)

    assert pruning.rows["predictions"] == len(first) + len(last)
    assert unerased() == {stuck.pk}
    assert RetentionRun.objects.get().erased_through < (stuck.hold_id or 0)


def test_workers_prune_once_an_hour_and_go_on_when_the_time_was_up(
    settings: Any, finish: Finish
) -> None:
    settings.RETENTION_DAYS = DAYS
    finish(DAYS + 1)

    too_soon = retention.prune_when_due(seconds=0)
    first = retention.prune_when_due(seconds=10)
    second = retention.prune_when_due(seconds=10)

    assert too_soon
    assert not too_soon.is_complete
    assert first
    assert first.rows["predictions"] == 1
    assert second is None


@pytest.mark.django_db(transaction=True)
def test_the_beat_of_a_worker_prunes(settings: Any, finish: Finish) -> None:
    settings.RETENTION_DAYS = DAYS
    finish(DAYS + 1)

    tasks.beat.apply()

    assert not unerased()

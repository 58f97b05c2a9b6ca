"""What each hand-written SQL statement gains over the ORM; docs/decisions/0004 has the table.

Both do the same work in turns of a small batch, in one process on a scratch database of the server
that DATABASE_URL names. Printed is the CPU time of this process for one call, the median of the
turns, and the gain: by how much less it is than the ORM's.
"""

import argparse
import json
import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from run import scratch_database

ROWS = 64  # of a claim
Work = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """A statement and the ORM's way to do the same; both are undone after each call."""

    name: str
    statement: Work
    orm: Work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--batch", type=int, default=20, help="calls in a turn")
    options = parser.parse_args()
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        parser.error("Set DATABASE_URL to a PostgreSQL.")
    with scratch_database(server, "_statements") as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "carprice.settings"}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        print(f"{'statement':44} {'SQL':>9} {'ORM':>9}  gain")
        for pair in pairs():
            fast, slow = (1e6 * cost for cost in measure(pair, options.turns, options.batch))
            print(f"{pair.name:44} {fast:6.0f} µs {slow:6.0f} µs  {1 - fast / slow:4.0%}")
        from django.db import connection

        connection.close()


def measure(pair: Pair, turns: int, batch: int) -> tuple[float, float]:
    """Seconds of CPU for one call of each, as the median of the turns."""
    costs: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns):
        for which in (0, 1) if turn % 2 else (1, 0):
            work = (pair.statement, pair.orm)[which]
            costs[which].append(sum(cost_of(work) for _ in range(batch)) / batch)
    return statistics.median(costs[0]), statistics.median(costs[1])


def cost_of(work: Work) -> float:
    """The CPU time of one call, which is rolled back."""
    from django.db import transaction

    with transaction.atomic():
        started = time.thread_time()
        work()
        took = time.thread_time() - started
        transaction.set_rollback(True)
    return took


def pairs() -> Iterator[Pair]:  # noqa: C901  # one after the other, on the same rows
    """Every hand-written statement outside the audit that the ORM can express."""
    from django.db.models import Case, F, Value, When, Window
    from django.db.models.functions import Now, RowNumber

    from accounts import tokens
    from accounts.keys import lookup
    from accounts.keys.models import ApiKey
    from accounts.keys.services import make_key
    from accounts.models import TokenSession, User
    from billing import services as billing
    from billing.models import CreditAccount, LedgerEntry
    from mlmodels.catalogue import queries
    from mlmodels.models import Predictor
    from mlmodels.signature import Inputs
    from predictions import positions, queue, services
    from predictions.execution import claims, scoring, settlement
    from predictions.models import Prediction

    user = User.objects.create_user("bench@example.com", "x")
    billing.set_available(user_id=user.pk, new_amount=1_000_000)
    session = tokens.open_session(user)
    predictor = make_predictor()
    version_id: UUID = predictor.current_version_id
    lease = timedelta(seconds=20)

    def find_session_orm() -> Any:
        return TokenSession.objects.select_related("user").get(pk=session.pk)

    yield Pair("find the session of a token", lambda: tokens.find_session(session.pk),
               find_session_orm)  # fmt: skip

    text = make_key(user=user, name="A program", access="write").text
    lookup.find_key(text)  # notes the use

    def find_key_orm() -> Any:
        keys = ApiKey.objects.live().select_related("user").filter(user__is_active=True)
        return keys.get(digest=lookup.digest(text))

    yield Pair("find the user of an API key", lambda: lookup.find_key(text), find_key_orm)
    yield Pair("find a predictor on sale", lambda: queries.find_on_sale(predictor.name),
               lambda: Predictor.objects.on_sale().get(name=predictor.name))  # fmt: skip

    def place_hold_orm() -> int:
        accounts = CreditAccount.objects.filter(pk=user.pk, balance__gte=F("held") + 10)
        assert accounts.update(held=F("held") + 10)
        account = CreditAccount.objects.get(pk=user.pk)
        entry = LedgerEntry.objects.create(
            account=account, kind="hold", balance_change=0, held_change=10,
            balance_after=account.balance, held_after=account.held, subject_id=uuid.uuid4(),
        )  # fmt: skip
        return int(entry.pk)

    def place_hold() -> int:
        return billing.place_hold(user_id=user.pk, amount=10, subject_id=uuid.uuid4())

    yield Pair("place a hold (two statements)", place_hold, place_hold_orm)

    data: dict[str, Any] = {f"feature {number}": number for number in range(24)}
    inputs = Inputs(data, ["feature 1"])

    def queue_sql() -> None:
        assert queue.enqueue(user, predictor, inputs, explain=False) is not None

    def queue_orm() -> None:
        assert Predictor.objects.on_sale().filter(pk=predictor.pk).exists()
        Prediction.objects.create(
            id=uuid.uuid4(), user_id=user.pk, predictor_id=predictor.pk, version_id=version_id,
            status="queued", price=10, data=data, hold_id=place_hold_orm(), queued_at=Now(),
            deadline_at=Now() + timedelta(seconds=600),
            queue_rank=queue.rank_expression(user.pk, version_id),
            explain=False, defaulted=inputs.defaulted, entered=None,
        )  # fmt: skip

    yield Pair("hold and queue a prediction", queue_sql, queue_orm)

    queue_sql()
    key = Prediction.objects.values_list("pk", flat=True).get()

    def find_status_orm() -> Any:
        rows = Prediction.objects.of(user).select_related("predictor")
        columns = ("status", "created_at", "finished_at", "value", "predictor__name")
        return rows.only(*columns).get(pk=key)

    yield Pair("find the status of a prediction",
               lambda: services.find_status(user, key), find_status_orm)  # fmt: skip

    for _ in range(ROWS):
        queue_sql()

    def claim_orm() -> list[Any]:
        queued = Prediction.objects.filter(version_id=version_id, status="queued", attempts=0)
        locked = queued.select_for_update(skip_locked=True, no_key=True)
        ordered = locked.order_by("queue_rank", "queued_at", "id")
        rows = list(ordered.values("id", "data", "explain")[:ROWS])
        Prediction.objects.filter(pk__in=[row["id"] for row in rows]).update(
            status="running", claim=uuid.uuid4(), attempts=F("attempts") + 1, retry_at=None,
            started_at=Now(), lease_expires_at=Now() + lease,
        )  # fmt: skip
        return rows

    yield Pair(f"claim {ROWS} rows",
               lambda: claims.claim_first_attempts(Prediction, version_id), claim_orm)  # fmt: skip

    some = list(Prediction.objects.filter(status="queued")[:20])

    def positions_orm() -> dict[UUID, int]:
        ranked = Prediction.objects.filter(status="queued", version_id=version_id).annotate(
            place=Window(RowNumber(), partition_by="version_id",
                            order_by=["queue_rank", "queued_at", "id"])
        )  # fmt: skip
        wanted = {row.pk for row in some}
        return {key: place for key, place in ranked.values_list("pk", "place") if key in wanted}

    def positions_sql() -> None:
        for row in some:
            row.position = None
        positions.set_positions(some)

    yield Pair("positions of 20 rows", positions_sql, positions_orm)

    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim is not None
    outcomes = [scoring.Outcome(row, 1.5) for row in claim.rows]

    def finish_orm() -> list[int]:
        held = claims.held_by(claim).select_for_update(no_key=True)
        holds = dict(held.order_by("pk").values_list("pk", "hold_id"))
        values = [When(pk=o.row.id, then=Value(o.value)) for o in outcomes]
        Prediction.objects.filter(pk__in=holds).update(
            status="finished", value=Case(*values), finished_at=Now(), claim=None,
            lease_expires_at=None,
        )  # fmt: skip
        return list(holds.values())

    def settle_orm() -> None:
        hold_ids = finish_orm()
        holds = list(LedgerEntry.objects.filter(pk__in=hold_ids).order_by("account_id", "id"))
        total = sum(hold.held_change for hold in holds)
        CreditAccount.objects.filter(pk=user.pk).update(
            balance=F("balance") - total, held=F("held") - total
        )
        account = CreditAccount.objects.get(pk=user.pk)
        LedgerEntry.objects.bulk_create([
            LedgerEntry(account=account, kind="capture", balance_change=-hold.held_change,
                        held_change=-hold.held_change, balance_after=account.balance,
                        held_after=account.held, subject_id=hold.subject_id, resolves=hold)
            for hold in holds
        ])  # fmt: skip

    yield Pair(f"settle {ROWS} rows of one account",
               lambda: settlement.settle(claim, outcomes), settle_orm)  # fmt: skip


def make_predictor() -> Any:
    from django.utils import timezone

    from mlmodels.models import Predictor, PredictorVersion

    predictor = Predictor.objects.create(
        name="bench", domain="car_price", title="Bench", algorithm="none", summary="none", price=10
    )
    signature = [{"name": f"feature {number}", "type": "number"} for number in range(24)]
    predictor.current_version = PredictorVersion.objects.create(
        predictor=predictor, number=1, target="price", unit="USD", signature=signature, metrics={},
        artefact_sha256="0" * 64, artefact_format=2, sklearn_version="1", libraries={},
        data_sha256="0" * 64, seed=1, trained_at=timezone.now(), report=json.loads("{}"),
    )  # fmt: skip
    predictor.save()
    return predictor


if __name__ == "__main__":
    main()

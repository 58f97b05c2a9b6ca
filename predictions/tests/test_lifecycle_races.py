"""Two that change one prediction at the same moment: one wins, and the money follows it.

Each pair meets twice. Once in a known order, the second while the first has not committed; and
many times on threads that start together, where either may come first.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.db import DatabaseError

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from billing.services import set_available
from carprice.http.errors import ServiceError
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import claims, recovery, runner, scoring, settlement
from predictions.models import Prediction
from testing.lifecycle import overlap, race

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

CAR = {"brand": "bmw", "horsepower": 121}
OTHER_CAR = {"brand": "toyota", "horsepower": 62}
LONG_AGO = "2000-01-01T00:00Z"
RACES, MOST_RACES = 10, 60
LEAD_SECONDS = 0.002
Status = Prediction.Status


@dataclass
class Case:
    """A prediction that is about to be fought over."""

    user: User
    predictor: Predictor
    key: UUID
    claim: claims.Claim | None = None

    @property
    def rows(self) -> Any:
        return Prediction.objects.filter(pk=self.key)

    def end(self) -> tuple[str, str]:
        """What became of it, and its ledger entries."""
        entries = LedgerEntry.objects.filter(subject_id=self.key).order_by("pk")
        status = self.rows.values_list("status", flat=True).first()
        return status or "gone", " ".join(entries.values_list("kind", flat=True))


# --- How it starts -------------------------------------------------------------------------------


def draft(user: User, predictor: Predictor) -> Case:
    row = services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    return Case(user, predictor, row.pk)


def queued(user: User, predictor: Predictor) -> Case:
    row = services.request_prediction(user=user, predictor=predictor, data=CAR)
    return Case(user, predictor, row.pk)


def running(user: User, predictor: Predictor) -> Case:
    case = queued(user, predictor)
    assert predictor.current_version_id
    case.claim = claims.claim_first_attempts(Prediction, predictor.current_version_id)
    assert case.claim
    return case


def finished(user: User, predictor: Predictor) -> Case:
    case = running(user, predictor)
    settle(case)
    return case


def lapsed(user: User, predictor: Predictor) -> Case:
    case = running(user, predictor)
    case.rows.update(lease_expires_at=LONG_AGO)
    return case


def overdue(user: User, predictor: Predictor) -> Case:
    case = queued(user, predictor)
    case.rows.update(deadline_at=LONG_AGO)
    return case


def overdue_while_running(user: User, predictor: Predictor) -> Case:
    case = running(user, predictor)
    case.rows.update(deadline_at=LONG_AGO)
    return case


def draft_with_credit_for_one(user: User, predictor: Predictor) -> Case:
    set_available(user_id=user.pk, new_amount=predictor.price)
    return draft(user, predictor)


# --- What is done to it --------------------------------------------------------------------------


def cancel(case: Case) -> str:
    services.cancel(user=case.user, prediction_id=case.key)
    return "done"


def run(case: Case) -> str:
    services.run_draft(user=case.user, prediction_id=case.key)
    return "done"


def edit(case: Case) -> str:
    services.edit_draft(user=case.user, prediction_id=case.key, changes={"data": OTHER_CAR})
    return "done"


def erase(case: Case) -> str:
    services.erase(user=case.user, prediction_id=case.key)
    return "done"


def submit_another(case: Case) -> str:
    services.request_prediction(user=case.user, predictor=case.predictor, data=CAR)
    return "done"


def claim(case: Case) -> str:
    assert case.predictor.current_version_id
    claimed = claims.claim_first_attempts(Prediction, case.predictor.current_version_id)
    return "done" if claimed and case.key in {row.id for row in claimed.rows} else "nothing"


def settle(case: Case) -> str:
    assert case.claim
    settlement.settle(case.claim, [scoring.Outcome(row, 1.0) for row in case.claim.rows])
    return "done"


def fail(case: Case) -> str:
    assert case.claim
    failure = Prediction.Failure.INVALID_INPUT
    outcomes = [scoring.Outcome(row, failure=failure) for row in case.claim.rows]
    settlement.settle(case.claim, outcomes)
    return "done"


def give_back(case: Case) -> str:
    assert case.claim
    settlement.give_back(case.claim)
    return "done"


def abandon(case: Case) -> str:
    assert case.claim
    settlement.abandon(case.claim)
    return "done"


def sweep(case: Case) -> str:
    recovery.recover()
    return "done"


# These pass over a row that somebody has locked; all others wait for it.
PASS_OVER = {claim, sweep, abandon}

Start = Callable[[User, Predictor], Case]
Action = Callable[[Case], str]
# What `one` and `other` return, the status at the end, and the ledger's entries.
End = tuple[str, str, str, str]


@dataclass(frozen=True)
class Duel:
    start: Start
    one: Action
    other: Action
    one_first: End
    other_first: End
    also: End | None = None

    def __str__(self) -> str:
        return f"{self.start.__name__}:{self.one.__name__}-{self.other.__name__}"


WON, LOST, GONE, NO = "done", "wrong_state", "not_found", "nothing"
HELD, CHARGED, FREE = "hold", "hold capture", "hold release"

DUELS = [
    Duel(draft, run, run, (WON, LOST, "queued", HELD), (LOST, WON, "queued", HELD)),
    Duel(draft, run, edit, (WON, LOST, "queued", HELD), (WON, WON, "queued", HELD)),
    Duel(draft, run, erase, (WON, LOST, "queued", HELD), (GONE, WON, "gone", "")),
    Duel(draft, run, cancel, (WON, WON, "canceled", FREE), (LOST, WON, "canceled", "")),
    Duel(draft, edit, edit, (WON, WON, "draft", ""), (WON, WON, "draft", "")),
    Duel(draft, edit, erase, (WON, WON, "gone", ""), (GONE, WON, "gone", "")),
    Duel(draft, edit, cancel, (WON, WON, "canceled", ""), (LOST, WON, "canceled", "")),
    Duel(draft, cancel, erase, (WON, WON, "canceled", ""), (GONE, WON, "gone", "")),
    Duel(draft, erase, erase, (WON, GONE, "gone", ""), (GONE, WON, "gone", "")),
    Duel(
        draft_with_credit_for_one,
        run,
        submit_another,
        (WON, "insufficient_credits", "queued", HELD),
        ("insufficient_credits", WON, "draft", ""),
    ),
    Duel(queued, cancel, claim, (WON, NO, "canceled", FREE), (LOST, WON, "running", HELD)),
    Duel(queued, cancel, cancel, (WON, LOST, "canceled", FREE), (LOST, WON, "canceled", FREE)),
    Duel(queued, claim, claim, (WON, NO, "running", HELD), (NO, WON, "running", HELD)),
    Duel(
        queued,
        erase,
        claim,
        (LOST, WON, "running", HELD),
        (LOST, WON, "running", HELD),
        # A claim passes over a row that is being looked at; the sweep notifies of it again.
        also=(LOST, NO, "queued", HELD),
    ),
    Duel(overdue, cancel, sweep, (WON, WON, "canceled", FREE), (LOST, WON, "failed", FREE)),
    Duel(running, settle, settle, (WON, WON, "finished", CHARGED), (WON, WON, "finished", CHARGED)),
    Duel(running, settle, fail, (WON, WON, "finished", CHARGED), (WON, WON, "failed", FREE)),
    Duel(running, settle, give_back, (WON, WON, "finished", CHARGED), (WON, WON, "queued", HELD)),
    Duel(running, settle, abandon, (WON, WON, "finished", CHARGED), (WON, WON, "queued", HELD)),
    Duel(running, settle, erase, (WON, WON, "finished", CHARGED), (WON, LOST, "finished", CHARGED)),
    Duel(lapsed, settle, sweep, (WON, WON, "finished", CHARGED), (WON, WON, "queued", HELD)),
    Duel(lapsed, sweep, sweep, (WON, WON, "queued", HELD), (WON, WON, "queued", HELD)),
    Duel(lapsed, sweep, give_back, (WON, WON, "queued", HELD), (WON, WON, "queued", HELD)),
    Duel(
        overdue_while_running,
        settle,
        sweep,
        (WON, WON, "finished", CHARGED),
        (WON, WON, "failed", FREE),
    ),
    Duel(
        finished, erase, erase, (WON, GONE, "finished", CHARGED), (GONE, WON, "finished", CHARGED)
    ),
]


def refusal_as_code(call: Action, case: Case) -> Callable[[], str]:
    """The call with a refusal's code for its result, so that a transaction around it goes on."""

    def run() -> str:
        try:
            return call(case)
        except ServiceError as refusal:
            return refusal.code

    return run


@pytest.mark.parametrize("duel", DUELS, ids=str)
def test_one_of_two_wins_and_the_money_follows_it(
    duel: Duel, user: User, predictor: Predictor
) -> None:
    """One while the other has not committed, the other way round, and both at the same moment."""

    def begin() -> tuple[Case, Callable[[], str], Callable[[], str]]:
        set_available(user_id=user.pk, new_amount=100 * predictor.price)
        case = duel.start(user, predictor)
        return case, refusal_as_code(duel.one, case), refusal_as_code(duel.other, case)

    case, one, other = begin()
    waits = duel.one_first[0] == WON and duel.other not in PASS_OVER
    assert (*overlap(one, other, waits=waits), *case.end()) == duel.one_first
    leave_nothing_waiting()

    case, one, other = begin()
    waits = duel.other_first[1] == WON and duel.one not in PASS_OVER
    assert (*overlap(other, one, waits=waits)[::-1], *case.end()) == duel.other_first
    leave_nothing_waiting()

    seen: set[Any] = set()
    for number in range(MOST_RACES):
        case, one, other = begin()
        lead = (duel.other_first in seen) - (duel.one_first in seen)  # who has yet to win
        results = race(one, other, lead=lead * number * LEAD_SECONDS)
        seen.add((*results, *case.end()))
        leave_nothing_waiting()
        if number >= RACES and {duel.one_first, duel.other_first} <= seen:
            break
    assert seen - {duel.also} == {duel.one_first, duel.other_first}
    assert not list(breaches())


def leave_nothing_waiting() -> None:
    """The next case's claim must take that case's row only."""
    rows = Prediction.objects.filter(status=Status.QUEUED)
    for row in rows.select_related("user"):
        services.cancel(user=row.user, prediction_id=row.pk)


def test_a_run_takes_what_an_edit_before_it_left(user: User, predictor: Predictor) -> None:
    case = draft(user, predictor)

    overlap(lambda: edit(case), lambda: run(case))

    row = case.rows.get()
    assert (row.status, row.data["brand"]) == (Status.QUEUED, "toyota")


def test_an_edit_after_a_run_changes_nothing(user: User, predictor: Predictor) -> None:
    case = draft(user, predictor)

    _, refusal = overlap(lambda: run(case), lambda: edit(case))

    assert refusal.code == LOST
    assert case.rows.get().data["brand"] == "bmw"


def test_a_run_that_came_to_nothing_leaves_the_draft_to_the_next(
    user: User, predictor: Predictor
) -> None:
    case = draft(user, predictor)

    results = overlap(lambda: run(case), lambda: run(case), undo=True)

    assert results == [WON, WON]
    assert case.end() == ("queued", HELD)
    assert not list(breaches())


def test_rows_of_one_user_get_ranks_of_their_own_at_the_same_moment(
    user: User, predictor: Predictor, at_once: Callable[..., list[Any]]
) -> None:
    drafts = [draft(user, predictor) for _ in range(4)]

    at_once(
        [lambda case=case: run(case) for case in drafts] + [lambda: submit_another(drafts[0])] * 4
    )

    ranks = Prediction.objects.order_by("queue_rank").values_list("queue_rank", flat=True)
    assert list(ranks) == [0, 3, 5, 7, 9, 11, 13, 15]


STORM_THREADS, STORM_STEPS, STORM_USERS = 6, 40, 3


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_at_once_neither_deadlocks_nor_loses_a_credit(
    make_user: Callable[..., User],
    predictor: Predictor,
    at_once: Callable[..., list[Any]],
    settings: Any,
    seed: int,
) -> None:
    settings.CLAIM_ROWS = 8
    users = [make_user(f"user{number}@example.com") for number in range(STORM_USERS)]

    results = at_once(
        [Storm(users, predictor, seed * 100 + number).blow for number in range(STORM_THREADS)],
        DatabaseError,
    )

    assert results == [None] * STORM_THREADS
    assert not list(breaches())
    end_everything(predictor)
    assert not Prediction.objects.active().exists()
    assert not CreditAccount.objects.exclude(held=0).exists()
    assert not list(breaches())


def end_everything(predictor: Predictor) -> None:
    assert predictor.current_version_id
    Prediction.objects.active().update(lease_expires_at=LONG_AGO, retry_at=None)
    for _ in range(3):
        recovery.recover()
        while runner.run_queued(Prediction, predictor.current_version_id):
            pass


class Storm:
    """Users, workers and sweeps in one thread, in an order given by chance."""

    def __init__(self, users: list[User], predictor: Predictor, seed: int) -> None:
        self._users, self._predictor = users, predictor
        self._chance = random.Random(seed)

    def blow(self) -> None:
        steps = [self._submit, self._draft, self._act_on_any, self._act_on_any, self._work]
        for _ in range(STORM_STEPS):
            with suppress(ServiceError):  # it lost a race, or nothing is left to spend
                self._chance.choice([*steps, self._work, self._sweep])()

    def _submit(self) -> None:
        queued(self._chance.choice(self._users), self._predictor)

    def _draft(self) -> None:
        draft(self._chance.choice(self._users), self._predictor)

    def _act_on_any(self) -> None:
        user = self._chance.choice(self._users)
        keys = list(Prediction.objects.of(user).values_list("pk", flat=True))
        if keys:
            act = self._chance.choice([cancel, run, edit, erase])
            act(Case(user, self._predictor, self._chance.choice(keys)))

    def _work(self) -> None:
        version_id: Any = self._predictor.current_version_id
        claim = claims.claim_first_attempts(Prediction, version_id) or claims.claim_retry(
            Prediction, version_id
        )
        if claim is None:
            return
        end = self._chance.choice([self._settle, self._settle, settlement.abandon, self._die])
        end(claim)

    def _settle(self, claim: claims.Claim) -> None:
        chances: list[dict[str, Any]] = [
            {"value": 1.0},
            {"failure": Prediction.Failure.INVALID_INPUT},
            {"is_transient": True},
        ]
        settlement.settle(
            claim,
            [scoring.Outcome(row, **self._chance.choice(chances)) for row in claim.rows],
        )

    def _die(self, claim: claims.Claim) -> None:
        """Settle after the lease has run out, or never."""
        keys = [row.id for row in claim.rows]
        Prediction.objects.filter(pk__in=keys).update(lease_expires_at=LONG_AGO)
        if self._chance.random() < 0.5:
            self._settle(claim)

    def _sweep(self) -> None:
        recovery.recover()

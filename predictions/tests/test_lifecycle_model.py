"""Random histories of users, workers, sweeps and crashes, compared step by step with a model.

Time does not pass by itself: leases, deadlines and pauses are hours, and run out by a rule.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from django.conf import LazySettings
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from billing.models import CreditAccount
from billing.services import top_up
from carprice.http.errors import ServiceError
from mlmodels.catalogue.queries import find_on_sale
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import claims, recovery, scoring, settlement
from predictions.models import Prediction

pytestmark = pytest.mark.django_db

EXAMPLES, STEPS = 25, 30
CLAIM_ROWS = 3
MAX_ATTEMPTS = 3
ACTIVE = ("queued", "running")
GOOD, BAD = {"horsepower": 100}, {"horsepower": -1}
LONG_AGO = "2000-01-01T00:00Z"
OK = "ok"


# --- The model: statuses and money, and nothing else ---------------------------------------------


@dataclass
class Task:
    owner: UUID
    status: str
    price: int = 0
    good: bool = True
    attempts: int = 0
    claim: UUID | None = None
    pausing: bool = False
    lapsed: bool = False
    overdue: bool = False

    def end(self, status: str) -> None:
        self.status, self.claim = status, None

    def requeue(self, *, pausing: bool) -> None:
        """After an attempt that brought no result."""
        if self.attempts >= MAX_ATTEMPTS:
            self.end("failed")
        else:
            self.status, self.claim, self.pausing, self.lapsed = "queued", None, pausing, False


@dataclass
class Model:
    price: int
    balance: dict[UUID, int] = field(default_factory=dict)
    tasks: dict[UUID, Task] = field(default_factory=dict)

    def held(self, user: UUID) -> int:
        mine = [task for task in self.tasks.values() if task.owner == user]
        return sum(task.price for task in mine if task.status in ACTIVE)

    def cannot_pay(self, user: UUID) -> bool:
        return self.balance[user] - self.held(user) < self.price

    def refusal(self, user: UUID, key: UUID, act: str) -> str:
        """The code that a change by a user is refused with, or OK."""
        task = self.tasks.get(key)
        if task is None or task.owner != user:
            return "not_found"
        allowed = {
            "edit": ["draft"],
            "run": ["draft"],
            "cancel": ["draft", "queued"],
            "erase": ["draft", "finished", "failed", "canceled"],
        }
        if task.status not in allowed[act]:
            return "wrong_state"
        if act == "run" and not task.good:
            return "invalid_request"
        return "insufficient_credits" if act == "run" and self.cannot_pay(user) else OK

    def waiting(self, *, tried: bool) -> list[UUID]:
        """What may be claimed, among rows that were tried before or among the others."""
        return [
            key
            for key, task in self.tasks.items()
            if task.status == "queued"
            and bool(task.attempts) == tried
            and not (task.pausing or task.overdue)
        ]

    def held_by(self, claim: UUID) -> list[Task]:
        return [task for task in self.tasks.values() if task.claim == claim]

    def settle(self, claim: UUID, ends: dict[UUID, str]) -> None:
        for key, end in ends.items():
            task = self.tasks.get(key)
            if task is None or task.claim != claim:
                continue
            if end == "passing":
                task.requeue(pausing=True)
            else:
                task.end(end)
                self.balance[task.owner] -= task.price if end == "finished" else 0

    def sweep(self) -> None:
        for task in self.tasks.values():
            if task.status in ACTIVE and task.overdue:
                task.end("failed")
            if task.status == "running" and task.lapsed:
                task.requeue(pausing=False)


# --- The service beside it -----------------------------------------------------------------------


class Lifecycle(RuleBasedStateMachine):
    users: list[User]
    predictor: Predictor

    def __init__(self) -> None:
        super().__init__()
        self.world = transaction.atomic()
        self.world.__enter__()
        price = find_on_sale(self.predictor.name).price
        self.model = Model(price, {user.pk: 0 for user in self.users})
        self.claims: list[claims.Claim] = []
        self.audited: Any = None

    def teardown(self) -> None:
        """What was erased is still there for the audit, without inputs and result."""
        erased = Prediction.objects.exclude(erased_at=None).values_list("data", "value")
        assert set(map(str, erased)) <= {"({}, None)"}
        transaction.set_rollback(True)
        self.world.__exit__(None, None, None)

    def pick(self, number: int) -> tuple[UUID, User]:
        """A task, and mostly its owner; else somebody else."""
        key = list(self.model.tasks)[number % len(self.model.tasks)]
        owner = [user.pk for user in self.users].index(self.model.tasks[key].owner)
        return key, self.users[(owner + (number % 7 == 0)) % len(self.users)]

    @rule(who=st.integers(0, 1), amount=st.integers(1, 60))
    def top_up(self, who: int, amount: int) -> None:
        top_up(user_id=self.users[who].pk, amount=amount)
        self.model.balance[self.users[who].pk] += amount

    @rule(price=st.integers(1, 40))
    def change_price(self, price: int) -> None:
        Predictor.objects.filter(pk=self.predictor.pk).update(price=price)
        self.model.price = price

    @rule(who=st.integers(0, 1), good=st.booleans())
    def submit(self, who: int, good: bool) -> None:
        user = self.users[who]
        too_dear = "insufficient_credits" if self.model.cannot_pay(user.pk) else OK
        expected = too_dear if good else "invalid_request"
        row = self.expect(
            expected,
            lambda: services.request_prediction(
                user=user,
                predictor=find_on_sale(self.predictor.name),
                data=GOOD if good else BAD,
            ),
        )
        if row:
            self.model.tasks[row.pk] = Task(user.pk, "queued", self.model.price)

    @rule(who=st.integers(0, 1), good=st.booleans())
    def draft(self, who: int, good: bool) -> None:
        user = self.users[who]
        row = services.create_draft(
            user=user, predictor=self.predictor, data=GOOD if good else BAD, explain=False
        )
        self.model.tasks[row.pk] = Task(user.pk, "draft", good=good)

    @precondition(lambda self: self.model.tasks)
    @rule(number=st.integers(0, 200), good=st.booleans())
    def edit(self, number: int, good: bool) -> None:
        key, user = self.pick(number)
        changes = {"data": GOOD if good else BAD}
        if self.change(
            key,
            user,
            "edit",
            lambda: services.edit_draft(user=user, prediction_id=key, changes=changes),
        ):
            self.model.tasks[key].good = good

    @precondition(lambda self: self.model.tasks)
    @rule(number=st.integers(0, 200))
    def run(self, number: int) -> None:
        key, user = self.pick(number)
        if self.change(key, user, "run", lambda: services.run_draft(user=user, prediction_id=key)):
            self.model.tasks[key].status = "queued"
            self.model.tasks[key].price = self.model.price

    @precondition(lambda self: self.model.tasks)
    @rule(number=st.integers(0, 200))
    def cancel(self, number: int) -> None:
        key, user = self.pick(number)
        if self.change(key, user, "cancel", lambda: services.cancel(user=user, prediction_id=key)):
            self.model.tasks[key].end("canceled")

    @precondition(lambda self: self.model.tasks)
    @rule(number=st.integers(0, 200))
    def erase(self, number: int) -> None:
        key, user = self.pick(number)
        if self.change(key, user, "erase", lambda: services.erase(user=user, prediction_id=key)):
            del self.model.tasks[key]

    @rule(tried=st.booleans())
    def claim(self, tried: bool) -> None:
        version_id: Any = self.predictor.current_version_id
        claimed = (claims.claim_retry if tried else claims.claim_first_attempts)(
            Prediction, version_id
        )
        may, most = self.model.waiting(tried=tried), 1 if tried else CLAIM_ROWS
        taken = [row.id for row in claimed.rows] if claimed else []
        assert len(taken) == min(len(may), most)
        assert set(taken) <= set(may)
        if claimed:
            self.claims.append(claimed)
            for key in taken:
                task = self.model.tasks[key]
                task.status, task.claim, task.attempts = "running", claimed.token, task.attempts + 1

    @precondition(lambda self: self.claims)
    @rule(
        number=st.integers(0, 20),
        ends=st.lists(
            st.sampled_from(["finished", "finished", "failed", "passing"]), min_size=3, max_size=3
        ),
    )
    def settle(self, number: int, ends: list[str]) -> None:
        """By whichever worker, whether its lease holds or not, for the first time or again."""
        claim = self.claims[-1 - number % len(self.claims)]
        outcomes = [
            scoring.Outcome(
                row,
                value=1.0 if end == "finished" else None,
                failure="invalid_input" if end == "failed" else "",
                is_transient=end == "passing",
            )
            for row, end in zip(claim.rows, ends, strict=False)
        ]
        settlement.settle(claim, outcomes)
        keys = [row.id for row in claim.rows]
        self.model.settle(claim.token, dict(zip(keys, ends, strict=False)))

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 20))
    def abandon(self, number: int) -> None:
        claim = self.claims[-1 - number % len(self.claims)]
        settlement.abandon(claim)
        for task in self.model.held_by(claim.token):
            task.requeue(pausing=True)

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 20))
    def give_back(self, number: int) -> None:
        claim = self.claims[-1 - number % len(self.claims)]
        settlement.give_back(claim)
        for task in self.model.held_by(claim.token):
            task.status, task.claim, task.lapsed = "queued", None, False
            task.attempts -= 1

    @precondition(lambda self: self.claims)
    @rule(number=st.integers(0, 20))
    def lose_a_worker(self, number: int) -> None:
        """Its lease runs out; the claim is kept here, since it may yet come back and settle."""
        claim = self.claims[-1 - number % len(self.claims)]
        held = Prediction.objects.filter(claim=claim.token)
        held.update(lease_expires_at=LONG_AGO)
        for task in self.model.held_by(claim.token):
            task.lapsed = True

    @precondition(lambda self: self.model.tasks)
    @rule(number=st.integers(0, 200))
    def pass_a_deadline(self, number: int) -> None:
        key, _ = self.pick(number)
        Prediction.objects.active().filter(pk=key).update(deadline_at=LONG_AGO)
        if self.model.tasks[key].status in ACTIVE:
            self.model.tasks[key].overdue = True

    @rule()
    def end_pauses(self) -> None:
        Prediction.objects.exclude(retry_at=None).update(retry_at=LONG_AGO)
        for task in self.model.tasks.values():
            task.pausing = False

    @rule()
    def sweep(self) -> None:
        recovery.recover()
        self.model.sweep()

    def change(self, key: UUID, user: User, act: str, call: Callable[[], Any]) -> bool:
        """Do what a user asks for; whether it was granted, which the model must foretell."""
        expected = self.model.refusal(user.pk, key, act)
        self.expect(expected, call)
        return expected == OK

    def expect(self, expected: str, call: Callable[[], Any]) -> Any:
        """What a call returns, which is to be granted or refused with this code."""
        if expected == OK:
            return call()
        with pytest.raises(ServiceError) as refusal:
            call()
        assert refusal.value.code == expected
        return None

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        statuses, money = self.statuses(), self.money()
        assert statuses == {
            key: (task.status, task.attempts) for key, task in self.model.tasks.items()
        }
        assert money == {
            user: (balance, self.model.held(user)) for user, balance in self.model.balance.items()
        }
        if (statuses, money) != self.audited:  # most of a step's time goes here
            assert list(breaches()) == []
            self.audited = statuses, money

    def statuses(self) -> dict[UUID, tuple[str, int]]:
        rows = Prediction.objects.filter(erased_at=None)
        return {
            key: (status, attempts)
            for key, status, attempts in rows.values_list("pk", "status", "attempts")
        }

    def money(self) -> dict[UUID, tuple[int, int]]:
        accounts = CreditAccount.objects.values_list("pk", "balance", "held")
        return {key: (balance, held) for key, balance, held in accounts}


@pytest.mark.timeout(300)  # a few seconds on an idle machine
def test_every_history_agrees_with_the_model(
    make_user: Callable[..., User], predictor: Predictor, settings: LazySettings
) -> None:
    settings.CLAIM_ROWS, settings.MAX_ATTEMPTS = CLAIM_ROWS, MAX_ATTEMPTS
    settings.LEASE_SECONDS = settings.DEADLINE_SECONDS = settings.RETRY_SECONDS = 3600
    Lifecycle.users = [make_user(f"user{number}@example.com", credit=0) for number in range(2)]
    Lifecycle.predictor = predictor

    run_state_machine_as_test(Lifecycle, settings=BOUNDED)


BOUNDED = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

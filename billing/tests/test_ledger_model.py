"""The ledger's services against a plain model of them, in random order with random amounts."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings as service
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import LedgerEntry
from carprice.db import cursors
from carprice.http.errors import InvalidInput, WrongState

USERS = 3
CEILING = service.CREDIT_CEILING
LIMIT = service.TOP_UP_LIMIT
LARGEST = service.LARGEST_CORRECTION

Line = tuple[str, int, int, int, int]  # kind, changes of balance and held, both after it
NEW_ENTRIES = """
    SELECT id, account_id, kind, balance_change, held_change, balance_after, held_after
    FROM billing_ledgerentry WHERE id > %s ORDER BY id
"""

numbers = st.integers(0, USERS - 1)
amounts = st.integers(1, 100) | st.sampled_from([-1, 0, LIMIT, LIMIT + 1])
edges = st.none() | st.sampled_from([-1, 0, 1])


def near(limit: int, edge: int | None, otherwise: int) -> int:
    """An amount at a limit or just beside it, or else any."""
    return otherwise if edge is None else limit + edge


@dataclass
class Book:
    """One account as it should be, and its entries since the last look at them."""

    balance: int = 0
    held: int = 0
    lines: list[Line] = field(default_factory=list)

    @property
    def available(self) -> int:
        return self.balance - self.held

    def write(self, kind: str, change: int = 0, held: int = 0) -> None:
        self.balance += change
        self.held += held
        self.lines.append((kind, change, held, self.balance, self.held))


@dataclass
class Hold:
    """A hold of the user `number`; `ended` by a capture or a release."""

    id: int
    number: int
    amount: int
    ended: str = ""
    refunded: bool = False


class Ledger(RuleBasedStateMachine):
    holds = Bundle("holds")
    charges = Bundle("charges")  # those holds that were captured

    @initialize()
    def begin(self) -> None:
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        self.users = [User.objects.create(email=f"user{n}@example.com") for n in range(USERS)]
        self.books = [Book() for _ in range(USERS)]
        self.corrected = [0] * USERS  # by each, of whatever account
        self.seen = 0
        for number in range(USERS - 1):  # the last has nothing
            self.top_up(number, 300)

    def teardown(self) -> None:
        if hasattr(self, "rollback"):
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)

    def id(self, number: int) -> UUID:
        return self.users[number].pk

    @rule(number=numbers, amount=amounts, edge=edges)
    def top_up(self, number: int, amount: int, edge: int | None = None) -> None:
        book = self.books[number]
        amount = near(min(LIMIT, CEILING - book.balance), edge, amount)
        fine = 1 <= amount <= LIMIT and book.balance + amount <= CEILING
        with refused(unless=fine):
            services.top_up(user_id=self.id(number), amount=amount)
        if fine:
            book.write("top_up", amount)

    @rule(number=numbers, new_amount=st.sampled_from([-1, 0]) | st.integers(1, 300), edge=edges)
    def set_available(self, number: int, new_amount: int, edge: int | None) -> None:
        book = self.books[number]
        new_amount = near(CEILING - book.held, edge, new_amount)
        fine = new_amount >= 0 and new_amount + book.held <= CEILING
        with refused(unless=fine):
            services.set_available(user_id=self.id(number), new_amount=new_amount)
        change = new_amount + book.held - book.balance
        if fine and change:
            book.write("top_up" if change > 0 else "adjustment", change)

    @rule(number=numbers, edge=edges, actor=numbers, sign=st.sampled_from([-1, 1]))
    def correct_all_that_one_may(
        self, number: int, edge: int | None, actor: int, sign: int
    ) -> None:
        self.correct(number, sign * near(LARGEST - self.corrected[actor], edge, LARGEST), actor)

    @rule(number=numbers, change=st.integers(0, 100), edge=edges, actor=numbers)
    def add(self, number: int, change: int, edge: int | None, actor: int) -> None:
        self.correct(number, near(CEILING - self.books[number].balance, edge, change), actor)

    @rule(number=numbers, change=st.integers(0, 100), edge=edges, actor=numbers)
    def take(self, number: int, change: int, edge: int | None, actor: int) -> None:
        self.correct(number, -near(self.books[number].available, edge, change), actor)

    def correct(self, number: int, change: int, actor: int) -> None:
        book = self.books[number]
        own = change != 0 and number == actor
        small = 0 < abs(change) <= LARGEST - self.corrected[actor]
        fine = small and not own and book.held <= book.balance + change <= CEILING
        with refused(services.OwnAccount if own else InvalidInput, unless=fine):
            services.correct_balance(
                user_id=self.id(number), change=change, reason="why", actor=self.users[actor]
            )
        if fine:
            self.corrected[actor] += abs(change)
            book.write("adjustment", change)

    @rule(target=holds, number=numbers, amount=st.integers(1, 100), edge=edges)
    def place(self, number: int, amount: int, edge: int | None) -> Any:
        book = self.books[number]
        amount = max(1, near(book.available, edge, amount))
        fine = amount <= book.available
        with refused(services.InsufficientCredits, unless=fine):
            hold_id = services.place_hold(
                user_id=self.id(number), amount=amount, subject_id=uuid4()
            )
        if not fine:
            return multiple()
        book.write("hold", held=amount)
        return Hold(hold_id, number, amount)

    @rule(target=charges, chosen=st.lists(st.tuples(holds, st.booleans()), max_size=4))
    def resolve(self, chosen: list[tuple[Hold, bool]]) -> Any:
        """Several holds at once, of several users, some captured and the others released."""
        ways = {hold.id: (hold, capture) for hold, capture in chosen}
        fine = not any(hold.ended for hold, _ in ways.values())
        with refused(IntegrityError, unless=fine), transaction.atomic():
            services.resolve_holds(
                captured=[key for key, (_, capture) in ways.items() if capture],
                released=[key for key, (_, capture) in ways.items() if not capture],
            )
        if not fine:
            return multiple()
        for _, (hold, capture) in sorted(ways.items()):
            hold.ended = "capture" if capture else "release"
            change = -hold.amount if capture else 0
            self.books[hold.number].write(hold.ended, change, -hold.amount)
        return multiple(*(hold for hold, capture in ways.values() if capture))

    @rule(charge=charges, actor=numbers)
    def refund(self, charge: Hold, actor: int) -> None:
        book = self.books[charge.number]
        own = charge.number == actor
        fine = not (own or charge.refunded) and book.balance + charge.amount <= CEILING
        refusal = WrongState if charge.refunded else InvalidInput
        with refused(services.OwnAccount if own else refusal, unless=fine):
            services.refund_charge(
                capture=LedgerEntry.objects.get(resolves=charge.id),
                reason="why",
                actor=self.users[actor],
            )
        if fine:
            charge.refunded = True
            book.write("refund", charge.amount)

    @rule(hold=holds, actor=numbers)
    def refund_what_is_no_charge(self, hold: Hold, actor: int) -> None:
        entry = LedgerEntry.objects.get(pk=hold.id)
        with pytest.raises(WrongState):
            services.refund_charge(capture=entry, reason="why", actor=self.users[actor])

    @invariant()
    def accounts_and_entries_are_as_the_model_says(self) -> None:
        for user_id, *money in cursors.fetch_all(
            "SELECT user_id, balance, held FROM billing_creditaccount"
        ):
            book = self.book_of(user_id)
            assert money == [book.balance, book.held]
            assert 0 <= book.held <= book.balance <= CEILING
        for entry_id, user_id, *line in cursors.fetch_all(NEW_ENTRIES, self.seen):
            assert tuple(line) == self.book_of(user_id).lines.pop(0)
            self.seen = entry_id
        assert not any(book.lines for book in self.books)

    def book_of(self, user_id: Any) -> Book:
        return self.books[[user.pk for user in self.users].index(UUID(str(user_id)))]

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert breaches() == []


def refused(kind: type[Exception] = InvalidInput, *, unless: bool) -> Any:
    """Expects to be refused, if it is not fine."""
    return transaction.atomic() if unless else pytest.raises(kind)


@pytest.mark.django_db
@pytest.mark.timeout(600)  # a failure takes minutes to be made small
def test_the_ledger_is_as_a_plain_model_of_it() -> None:
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=35,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

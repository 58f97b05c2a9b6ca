"""Credits: what each service writes, and what the database itself refuses."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import CreditAccount, LedgerEntry
from carprice.http.errors import InvalidInput

pytestmark = pytest.mark.django_db
CREDITS = 1000
Kind = LedgerEntry.Kind


def money(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def hold(user: User, amount: int = 100) -> int:
    return services.place_hold(user_id=user.pk, amount=amount, subject_id=uuid4())


def test_every_user_has_an_account_with_no_credits(make_user: Callable[..., User]) -> None:
    user = make_user(credit=0)

    assert money(user) == (0, 0)


def test_a_top_up_adds_credits_and_writes_an_entry(user: User) -> None:
    entry = services.top_up(user_id=user.pk, amount=50)

    assert money(user) == (CREDITS + 50, 0)
    assert (entry.kind, entry.balance_change, entry.balance_after) == (Kind.TOP_UP, 50, 1050)


@pytest.mark.parametrize("amount", [0, -1, settings.TOP_UP_LIMIT + 1])
def test_a_top_up_outside_its_limits_is_refused(user: User, amount: int) -> None:
    with pytest.raises(InvalidInput):
        services.top_up(user_id=user.pk, amount=amount)

    assert money(user) == (CREDITS, 0)


def test_no_account_goes_above_the_ceiling(user: User) -> None:
    services.set_available(user_id=user.pk, new_amount=settings.CREDIT_CEILING)

    with pytest.raises(InvalidInput):
        services.top_up(user_id=user.pk, amount=1)

    assert money(user) == (settings.CREDIT_CEILING, 0)


@pytest.mark.parametrize(
    ("new_amount", "kind", "change"), [(1500, Kind.TOP_UP, 600), (300, Kind.ADJUSTMENT, -600)]
)
def test_setting_what_is_available_leaves_what_is_held(
    user: User, new_amount: int, kind: str, change: int
) -> None:
    hold(user, 100)

    account = services.set_available(user_id=user.pk, new_amount=new_amount)

    entry = LedgerEntry.objects.latest("id")
    assert (account.available, account.held) == (new_amount, 100)
    assert (entry.kind, entry.balance_change) == (kind, change)


def test_setting_what_is_available_already_writes_nothing(user: User) -> None:
    before = LedgerEntry.objects.count()

    services.set_available(user_id=user.pk, new_amount=CREDITS)

    assert LedgerEntry.objects.count() == before


def test_a_hold_reserves_without_spending(user: User) -> None:
    hold(user, 100)

    assert money(user) == (CREDITS, 100)


def test_a_hold_of_more_than_is_free_is_refused_and_writes_nothing(user: User) -> None:
    hold(user, 950)
    before = LedgerEntry.objects.count()

    with pytest.raises(services.InsufficientCredits) as refusal:
        hold(user, 51)

    assert refusal.value.extra == {"required": 51, "available": 50}
    assert money(user) == (CREDITS, 950)
    assert LedgerEntry.objects.count() == before


def test_captures_and_releases_of_several_accounts_keep_running_balances(
    user: User, make_user: Callable[..., User]
) -> None:
    other = make_user("grace@example.com")
    holds = [hold(user, 10), hold(other, 20), hold(user, 30)]
    released_hold = hold(user, 5)

    services.resolve_holds(captured=holds)
    services.resolve_holds(released=[released_hold])

    assert (money(user), money(other)) == ((CREDITS - 40, 0), (CREDITS - 20, 0))
    captures = LedgerEntry.objects.filter(account_id=user.pk, kind=Kind.CAPTURE).order_by("id")
    assert [(c.balance_change, c.balance_after, c.held_after) for c in captures] == [
        (-10, 990, 35),
        (-30, 960, 5),
    ]
    assert not list(breaches())


@pytest.mark.parametrize("first", ["captured", "released"])
@pytest.mark.parametrize("second", ["captured", "released"])
def test_a_hold_is_resolved_once(user: User, first: str, second: str) -> None:
    entry = hold(user)
    services.resolve_holds(**{first: [entry]})
    after = money(user)

    with pytest.raises(IntegrityError), transaction.atomic():
        services.resolve_holds(**{second: [entry]})

    assert money(user) == after


def test_one_task_has_one_hold(user: User) -> None:
    subject_id = uuid4()
    services.place_hold(user_id=user.pk, amount=1, subject_id=subject_id)

    with pytest.raises(IntegrityError), transaction.atomic():
        services.place_hold(user_id=user.pk, amount=1, subject_id=subject_id)

    assert money(user) == (CREDITS, 1)


class TestCorrections:
    def test_are_entries_that_name_the_operator_and_the_reason(
        self, user: User, make_user: Callable[..., User]
    ) -> None:
        operator = make_user("op@example.com", credit=0, is_staff=True)

        entry = services.correct_balance(
            user_id=user.pk, change=-200, reason="Paid twice", actor=operator
        )

        assert money(user) == (CREDITS - 200, 0)
        assert (entry.kind, entry.actor, entry.reason) == (Kind.ADJUSTMENT, operator, "Paid twice")

    @pytest.mark.parametrize(
        ("change", "reason", "field"),
        [
            (1, " ", "reason"),
            (0, "why", "change"),
            (-901, "why", "change"),
            (settings.CREDIT_CEILING, "why", "change"),
        ],
    )
    def test_are_refused_by_field(
        self, user: User, make_user: Callable[..., User], change: int, reason: str, field: str
    ) -> None:
        hold(user, 100)
        operator = make_user("op@example.com", credit=0)

        with pytest.raises(InvalidInput) as refusal:
            services.correct_balance(user_id=user.pk, change=change, reason=reason, actor=operator)

        assert list(refusal.value.errors) == [field]
        assert money(user) == (CREDITS, 100)


class TestTheDatabaseRefuses:
    @pytest.mark.parametrize(
        "change",
        [{"held": 1001}, {"held": -1}, {"balance": -1}, {"balance": settings.CREDIT_CEILING + 1}],
    )
    def test_an_overdrawn_account(self, account: CreditAccount, change: dict[str, int]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            CreditAccount.objects.filter(pk=account.pk).update(**change)

    @pytest.mark.parametrize(
        ("kind", "balance_change", "held_change"),
        [
            ("top_up", 0, 0),
            ("top_up", -1, 0),
            ("top_up", 1, 1),
            ("refund", -1, 0),
            ("adjustment", 0, 0),
            ("adjustment", 1, 1),
            ("hold", 0, 0),
            ("hold", 0, -1),
            ("hold", 1, 1),
            ("capture", -1, -1),  # of no hold
            ("release", 0, -1),  # of no hold
            ("gift", 1, 0),
        ],
    )
    def test_an_entry_whose_changes_do_not_fit_its_kind(
        self, account: CreditAccount, kind: str, balance_change: int, held_change: int
    ) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(
                account=account,
                kind=kind,
                balance_change=balance_change,
                held_change=held_change,
                balance_after=500,
                held_after=100,
            )

    @pytest.mark.parametrize(
        "change",
        [
            {"held_change": -99, "balance_change": -99},  # part of the hold
            {"kind": "release", "balance_change": 0, "held_change": -101},
            {"balance_change": -101},  # more than was held
            {"subject_id": UUID(int=7)},
            {"subject_id": None},
        ],
    )
    def test_a_resolution_that_does_not_fit_its_hold(
        self, user: User, change: dict[str, Any]
    ) -> None:
        subject_id = uuid4()
        hold_id = services.place_hold(user_id=user.pk, amount=100, subject_id=subject_id)
        fitting: dict[str, Any] = {
            "account_id": user.pk,
            "kind": "capture",
            "balance_change": -100,
            "held_change": -100,
            "balance_after": 900,
            "held_after": 0,
            "subject_id": subject_id,
            "resolves_id": hold_id,
        }

        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(**{**fitting, **change})
        LedgerEntry.objects.create(**fitting)

    def test_a_resolution_of_another_accounts_hold(
        self, user: User, make_user: Callable[..., User]
    ) -> None:
        other = make_user("grace@example.com")
        subject_id = uuid4()
        hold_id = services.place_hold(user_id=user.pk, amount=100, subject_id=subject_id)

        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(
                account_id=other.pk,
                kind="release",
                balance_change=0,
                held_change=-100,
                balance_after=CREDITS,
                held_after=0,
                subject_id=subject_id,
                resolves_id=hold_id,
            )

    def test_edits_by_the_orm(self, user: User) -> None:
        entry = LedgerEntry.objects.latest("id")
        entry.balance_change = 5

        with pytest.raises(IntegrityError), transaction.atomic():
            entry.save()

    def test_deletion_by_the_orm(self, user: User) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.all().delete()

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE billing_ledgerentry SET reason = 'edited'",
            "DELETE FROM billing_ledgerentry",
        ],
    )
    def test_edits_by_sql(self, user: User, statement: str) -> None:
        with (
            pytest.raises(IntegrityError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def test_emptying_or_replacing_by_sql(self, user: User) -> None:
        statement = (
            "TRUNCATE billing_ledgerentry CASCADE"
            if connection.vendor == "postgresql"
            else "INSERT OR REPLACE INTO billing_ledgerentry SELECT * FROM billing_ledgerentry"
        )
        connection.check_constraints()  # deferred ones would get in the way first

        with (
            pytest.raises(IntegrityError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def test_the_deletion_of_a_user_who_has_entries(self, user: User) -> None:
        with pytest.raises(ProtectedError):
            user.delete()


def test_the_audit_names_a_missing_trigger(user: User) -> None:
    name = "ledger_append_only"
    table = " ON billing_ledgerentry" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}{table}")

    assert list(breaches()) == [f"trigger {name}: missing or disabled"]

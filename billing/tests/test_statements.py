"""Statements: what an account had, each movement of a month, and what it had then."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing import services, statements
from billing.models import CreditAccount, LedgerEntry
from billing.statements import Month
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.models import Prediction
from testing.pages import words

pytestmark = pytest.mark.django_db

NOW = Month.of(datetime.now(UTC))
PATH = f"/wallet/statements/{NOW}"


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def busy(user: User, operator: User, finished: Prediction) -> User:
    """Somebody with movements of every kind; the credits of the fixtures are the first."""
    charge = LedgerEntry.objects.get(kind="capture")
    services.refund_charge(capture=charge, reason="=cmd()", actor=operator)
    services.correct_balance(user_id=user.pk, change=-7, reason="+7", actor=operator)
    services.top_up(user_id=user.pk, amount=50)
    return user


def rows_of(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_opening_and_rows_make_closing(browser: Client, busy: User) -> None:
    statement = browser.get(PATH).context["statement"]

    assert statement.opening == 0
    assert [line.kind for line in statement.lines] == [
        "top_up", "capture", "refund", "adjustment", "top_up",
    ]  # fmt: skip
    assert statement.opening + sum(line.change for line in statement.lines) == statement.closing
    assert statement.closing == CreditAccount.objects.get(pk=busy.pk).balance


def test_the_table_has_the_same_with_a_running_balance(browser: Client, busy: User) -> None:
    opening, *rows, closing = rows_of(browser.get(f"{PATH}.csv"))

    balances = [int(row["balance_after"]) for row in (opening, *rows, closing)]
    assert (opening["kind"], closing["kind"]) == ("opening", "closing")
    for before, row, after in zip(balances, rows, balances[1:], strict=False):
        assert before + int(row["credits"]) == after
    assert balances[-1] == balances[-2] == CreditAccount.objects.get(pk=busy.pk).balance
    assert [row["reason"] for row in rows if row["reason"]] == ["'=cmd()", "'+7"]


def test_what_was_before_is_the_opening_balance(browser: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(date_joined=NOW.start - timedelta(days=40))
    user.refresh_from_db()
    before = Month.of(NOW.start - timedelta(days=1))

    entry = services.top_up(user_id=user.pk, amount=5)
    months = statements.months_of(user)
    last = browser.get(f"/wallet/statements/{before}").context["statement"]

    assert months[:2] == [NOW, before]
    assert (last.opening, last.lines, last.closing) == (0, [], 0)
    assert statements.balance_before(user, NOW.next) == entry.balance_after


def test_a_month_with_very_much_is_summed_up_by_day(
    browser: Client, busy: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = browser.get(PATH).context["statement"]
    monkeypatch.setattr(statements, "MOST_LISTED", 3)

    page = browser.get(PATH)

    statement = page.context["statement"]
    assert statement.is_by_day
    assert {(line.kind, line.count) for line in statement.lines} == {
        ("top_up", 2), ("capture", 1), ("refund", 1), ("adjustment", 1),
    }  # fmt: skip
    assert statement.closing == listed.closing
    assert "each day is summed up" in words(page)


@pytest.mark.parametrize("month", ["2000-01", "9999-12", "2026-13", "2026-1", "x", "%00"])
def test_of_a_month_that_is_none_of_theirs_there_is_no_statement(
    browser: Client, user: User, month: str
) -> None:
    answers = [browser.get(f"/wallet/statements/{month}{end}") for end in ("", ".csv")]

    assert [answer.status_code for answer in answers] == [404, 404]


def test_nobody_elses_movements_are_in_it(stranger: Client, busy: User) -> None:
    assert stranger.get(PATH).context["statement"].lines[0].change == 1000  # the fixture's own
    assert "=cmd()" not in words(stranger.get(PATH))


def test_a_movement_is_named_by_what_it_paid_for(browser: Client, finished: Prediction) -> None:
    assert "BMW, 121 hp" in words(browser.get("/wallet"))
    assert "BMW, 121 hp" in words(browser.get(PATH))


def test_little_that_is_left_is_said(browser: Client, user: User, settings: Any) -> None:
    plenty = words(browser.get("/wallet"))
    settings.LOW_BALANCE = 2000

    assert "There is little left." not in plenty
    assert "There is little left." in words(browser.get("/wallet"))


def test_a_new_customer_is_made_welcome_and_an_operator_is_not(
    settings: Any, predictor: Predictor
) -> None:
    settings.WELCOME_CREDITS = 30
    customer = User.objects.create_user("bob@example.com", "an unusual sentence")
    operator = User.objects.create_superuser("root@example.com", "an unusual sentence")

    balances = [CreditAccount.objects.get(pk=each.pk).balance for each in (customer, operator)]

    assert balances == [30, 0]
    assert LedgerEntry.objects.get(account_id=customer.pk).kind == "top_up"
    assert not list(breaches())

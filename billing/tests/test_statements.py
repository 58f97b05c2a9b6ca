"""Statements: what an account had, each movement of a month, and what it had then."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing import services, statements
from billing.models import CreditAccount, LedgerEntry
from billing.statements import Month
from carprice.pages.csv_files import safe_cell
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.models import Prediction
from testing.pages import browser_of, words

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


def test_page_and_table_have_the_same_rows(browser: Client, busy: User) -> None:
    lines = browser.get(PATH).context["statement"].lines

    rows = rows_of(browser.get(f"{PATH}.csv"))[1:-1]
    assert [(row["credits"], row["what_for"]) for row in rows] == [
        (str(line.change), str(line.subject_id or "")) for line in lines
    ]


@pytest.fixture
def old_customer(make_user: Callable[..., User]) -> User:
    """Somebody who has had movements for three months, the last of them in this one."""
    user = make_user("old@example.com", credit=0)
    first = Month.of(NOW.start - timedelta(days=40))
    User.objects.filter(pk=user.pk).update(date_joined=first.start)
    days = [0, 0, 1, 31]  # from the first of the first month
    for balance, day in zip([100, 200, 300, 400], days, strict=True):
        LedgerEntry.objects.create(
            account_id=user.pk,
            kind="top_up",
            balance_change=100,
            held_change=0,
            balance_after=balance,
            held_after=0,
            created_at=first.start + timedelta(days=day),
        )
    CreditAccount.objects.filter(pk=user.pk).update(balance=400)
    services.top_up(user_id=user.pk, amount=7)
    user.refresh_from_db()
    return user


def test_each_month_opens_with_what_the_last_closed_with(old_customer: User) -> None:
    months = statements.months_of(old_customer)[::-1]

    shown = [statements.statement_of(old_customer, month) for month in months]

    assert (shown[0].opening, shown[-1].closing) == (0, 407)
    for earlier, later in pairwise(shown):
        assert earlier.closing == later.opening
    assert sum(len(each.lines) for each in shown) == 5
    assert (shown[-1].opening, [line.change for line in shown[-1].lines]) == (400, [7])


def test_the_table_of_a_month_opens_with_what_was_there_before(old_customer: User) -> None:
    rows = rows_of(browser_of(old_customer).get(f"{PATH}.csv"))

    assert [row["balance_after"] for row in rows] == ["400", "407", "407"]


def test_each_day_has_a_sum_of_its_own(old_customer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "MOST_LISTED", 1)
    first = statements.months_of(old_customer)[-1]

    shown = statements.statement_of(old_customer, first)

    assert shown.is_by_day
    assert [(line.at, line.change, line.count) for line in shown.lines][:2] == [
        (first.start.date(), 200, 2),
        (first.start.date() + timedelta(days=1), 100, 1),
    ]
    assert shown.closing == statements.balance_before(old_customer, first.next)


def test_the_table_of_a_month_with_very_much_still_has_each_movement(
    browser: Client, busy: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "MOST_LISTED", 3)
    monkeypatch.setattr(statements, "BATCH", 2)

    rows = rows_of(browser.get(f"{PATH}.csv"))

    assert len(rows) == 5 + len(["opening", "closing"])
    assert int(rows[-1]["balance_after"]) == CreditAccount.objects.get(pk=busy.pk).balance


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_text_that_a_spreadsheet_would_run_is_none_any_more(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-7, "1-2", "a=b", "", " x"])
def test_any_other_cell_is_as_it_is(value: object) -> None:
    assert safe_cell(value) == value


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


@pytest.mark.parametrize("end", ["", ".csv"])
def test_neither_before_signing_up_nor_to_come_is_there_a_statement(
    browser: Client, user: User, end: str
) -> None:
    before = Month.of(NOW.start - timedelta(days=1))

    answers = [browser.get(f"/wallet/statements/{month}{end}") for month in (before, NOW, NOW.next)]

    assert [answer.status_code for answer in answers] == [404, 200, 404]


@pytest.mark.parametrize("path", ["/wallet/statements", PATH, f"{PATH}.csv"])
def test_a_stranger_is_asked_to_sign_in(client: Client, path: str) -> None:
    assert client.get(path)["Location"] == f"/account/sign-in?next={path}"


def test_the_list_leads_to_each_month(browser: Client, user: User) -> None:
    page = browser.get("/wallet/statements").content.decode()

    assert f'href="{PATH}"' in page


def test_nobody_elses_movements_are_in_it(stranger: Client, busy: User) -> None:
    assert stranger.get(PATH).context["statement"].lines[0].change == 1000  # the fixture's own
    assert "=cmd()" not in words(stranger.get(PATH))
    assert [row["credits"] for row in rows_of(stranger.get(f"{PATH}.csv"))] == ["", "1000", ""]


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

"""What an operator may correct and give back, what they learn by it, and where it is logged."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import CreditAccount, LedgerEntry
from carprice.http.errors import InvalidInput, ServiceError
from testing.fixtures import CREDITS, AtOnce

pytestmark = pytest.mark.django_db
MakeUser = Callable[..., User]
REFUSALS = (ServiceError, InvalidInput)
LARGEST = 100_000
PRICE = 40


@pytest.fixture(autouse=True)
def _largest(settings: Any) -> None:
    settings.LARGEST_CORRECTION = LARGEST


@pytest.fixture
def operator(make_user: MakeUser) -> User:
    return make_user("op@example.com", credit=100, is_staff=True, is_superuser=True)


@pytest.fixture
def colleague(make_user: MakeUser) -> User:
    return make_user("colleague@example.com", credit=100, is_staff=True, is_superuser=True)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin(operator: User) -> Client:
    return browser(operator)


@pytest.fixture
def writer(make_user: MakeUser) -> User:
    """An operator who may write entries, and see nothing."""
    user = make_user("writer@example.com", credit=0, is_staff=True)
    permit(user, "add_ledgerentry")
    return user


def permit(user: User, *names: str) -> None:
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))


def make_charge(user: User) -> LedgerEntry:
    hold_id = services.place_hold(user_id=user.pk, amount=PRICE, subject_id=uuid4())
    services.resolve_holds(captured=[hold_id])
    return LedgerEntry.objects.get(resolves_id=hold_id)


def correct(user: User, change: int, actor: User) -> LedgerEntry:
    return services.correct_balance(user_id=user.pk, change=change, reason="why", actor=actor)


def correction_page(user: User) -> str:
    return reverse("admin:billing_creditaccount_correct", args=[user.pk])


def refund_page(entry: LedgerEntry) -> str:
    return reverse("admin:billing_ledgerentry_refund", args=[entry.pk])


def state(user: User) -> tuple[int, int]:
    return CreditAccount.objects.get(pk=user.pk).balance, LedgerEntry.objects.count()


# --- One's own account ---------------------------------------------------------------------------


@pytest.mark.parametrize("change", [1, -1, 5_000])
def test_nobody_corrects_their_own_account(admin: Client, operator: User, change: int) -> None:
    before = state(operator)

    response = admin.post(correction_page(operator), {"change": change, "reason": "mine"})

    assert response.status_code == 200
    assert "This is your own account; ask another operator." in response.content.decode()
    assert state(operator) == before


def test_nobody_gives_back_a_charge_of_their_own(admin: Client, operator: User) -> None:
    charge = make_charge(operator)
    before = state(operator)

    response = admin.post(refund_page(charge), {"reason": "mine"})

    assert response.status_code == 200
    assert "This is your own account; ask another operator." in response.content.decode()
    assert state(operator) == before


def test_another_operator_does_both(colleague: User, operator: User) -> None:
    charge = make_charge(operator)
    client = browser(colleague)

    client.post(correction_page(operator), {"change": 7, "reason": "Lost in the move"})
    client.post(refund_page(charge), {"reason": "Wrong model"})

    assert state(operator)[0] == 100 + 7


# --- The largest correction ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "added"), [("−40", -40), ("1 000", 1000), ("－４０", -40), ("+5", 5)]
)
def test_a_change_is_read_as_people_write_it(
    admin: Client, user: User, change: str, added: int
) -> None:
    admin.post(correction_page(user), {"change": change, "reason": "why"})

    assert LedgerEntry.objects.latest("pk").balance_change == added


@pytest.mark.parametrize("change", [LARGEST + 1, -LARGEST - 1, 10**9, 10**18])
def test_no_correction_is_larger_than_the_setting(admin: Client, user: User, change: int) -> None:
    before = state(user)

    response = admin.post(correction_page(user), {"change": change, "reason": "why"})

    assert response.status_code == 200
    assert "at most 100,000 credits in 24 hours; you have 100,000 left" in response.content.decode()
    assert state(user) == before


def test_the_largest_correction_is_possible(user: User, operator: User) -> None:
    assert correct(user, LARGEST, operator).balance_after == CREDITS + LARGEST


def test_corrections_add_up_whatever_their_sign_and_account(
    user: User, operator: User, make_user: MakeUser
) -> None:
    other = make_user("bob@example.com")
    correct(user, LARGEST - 300, operator)
    correct(other, -200, operator)

    with pytest.raises(InvalidInput) as refusal:
        correct(user, -101, operator)

    assert "you have 100 left" in refusal.value.errors["change"][0]
    assert correct(user, 100, operator)


def test_each_operator_has_a_sum_of_their_own(user: User, operator: User, colleague: User) -> None:
    correct(user, LARGEST, operator)

    assert correct(user, LARGEST, colleague)


@pytest.mark.parametrize(("hours", "fine"), [(23, False), (25, True)])
def test_a_correction_counts_for_24_hours(
    user: User, operator: User, monkeypatch: pytest.MonkeyPatch, hours: int, fine: bool
) -> None:
    correct(user, LARGEST, operator)
    # An entry cannot be made older, so the time for which it counts is made shorter.
    counts_for = services.CORRECTIONS_ADD_UP_FOR - timedelta(hours=hours)
    monkeypatch.setattr(services, "CORRECTIONS_ADD_UP_FOR", counts_for)

    if fine:
        assert correct(user, LARGEST, operator)
    else:
        with pytest.raises(InvalidInput):
            correct(user, 1, operator)


def test_refunds_and_customers_own_changes_do_not_count(
    user: User, operator: User, settings: Any
) -> None:
    settings.LARGEST_CORRECTION = 1
    services.set_available(user_id=user.pk, new_amount=500)
    services.refund_charge(capture=make_charge(user), reason="why", actor=operator)

    assert correct(user, 1, operator)


def test_the_setting_can_leave_corrections_to_nobody(
    user: User, operator: User, settings: Any
) -> None:
    settings.LARGEST_CORRECTION = 0

    with pytest.raises(InvalidInput):
        correct(user, 1, operator)


@pytest.mark.django_db(transaction=True)
def test_eight_corrections_at_once_stay_within_the_sum(
    make_user: MakeUser, operator: User, at_once: AtOnce
) -> None:
    users = [make_user(f"user{number}@example.com") for number in range(8)]

    results = at_once(
        [lambda user=user: correct(user, 30_000, operator) for user in users], *REFUSALS
    )

    assert sum(isinstance(result, LedgerEntry) for result in results) == 3
    written = LedgerEntry.objects.filter(actor=operator)
    assert written.aggregate(credits=Sum("balance_change"))["credits"] == 90_000
    assert not list(breaches())


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_operators_who_correct_each_other_do_not_wait_for_each_other_in_a_circle(
    operator: User, colleague: User, at_once: AtOnce
) -> None:
    pairs = [(operator, colleague), (colleague, operator)] * 4

    results = at_once([lambda pair=pair: correct(pair[0], 1, pair[1]) for pair in pairs])

    assert all(isinstance(result, LedgerEntry) for result in results)
    assert (state(operator)[0], state(colleague)[0]) == (104, 104)


def test_the_sum_is_found_by_an_index(user: User, operator: User) -> None:
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, "billing_ledgerentry")

    assert constraints["entry_actor_latest"]["columns"] == ["actor_id", "created_at"]


# --- The admin's log -----------------------------------------------------------------------------


def test_a_correction_is_in_the_admins_log(admin: Client, operator: User, user: User) -> None:
    admin.post(correction_page(user), {"change": -40, "reason": "Topped up twice"})

    [line] = LogEntry.objects.all()
    assert (line.user, line.action_flag) == (operator, CHANGE)
    assert line.get_edited_object() == CreditAccount.objects.get(pk=user.pk)
    assert line.get_change_message() == "Adjustment: -40 credits, because: Topped up twice"
    history = reverse("admin:billing_creditaccount_history", args=[user.pk])
    assert "Topped up twice" in admin.get(history).content.decode()


def test_a_refund_is_in_the_admins_log(admin: Client, operator: User, user: User) -> None:
    charge = make_charge(user)

    admin.post(refund_page(charge), {"reason": "Wrong model"})

    [line] = LogEntry.objects.all()
    assert (line.user, line.get_edited_object()) == (operator, charge)
    assert line.get_change_message() == "Refund: +40 credits, because: Wrong model"


def test_what_is_refused_is_not_in_the_log(admin: Client, user: User, operator: User) -> None:
    admin.post(correction_page(user), {"change": -CREDITS - 1, "reason": "why"})
    admin.post(correction_page(operator), {"change": 1, "reason": "mine"})

    assert not LogEntry.objects.exists()


def test_without_its_line_in_the_log_nothing_is_corrected(
    admin: Client, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("django.contrib.admin.ModelAdmin.log_change", crash)
    before = state(user)

    with pytest.raises(RuntimeError):
        admin.post(correction_page(user), {"change": 5, "reason": "why"})

    assert state(user) == before


# --- Who may write entries, and see no accounts --------------------------------------------------


def balances(response: Any) -> list[str]:
    """The forms of the balance in an answer; not within tokens and ids, which are random."""
    found: list[str] = re.findall(
        r"(?<![\w-])(?:1000|1,000|993|960)(?![\w-])", response.content.decode()
    )
    return found


@pytest.fixture
def held(user: User) -> None:
    services.place_hold(user_id=user.pk, amount=7, subject_id=uuid4())


def test_who_sees_no_accounts_is_shown_no_balance(writer: User, user: User, held: None) -> None:
    client = browser(writer)

    shown = client.get(correction_page(user))

    assert shown.status_code == 200
    assert not balances(shown)
    assert balances(browser_of_a_viewer(writer).get(correction_page(user)))


def browser_of_a_viewer(writer: User) -> Client:
    permit(writer, "view_creditaccount")
    return browser(User.objects.get(pk=writer.pk))


@pytest.mark.parametrize("change", [-1, -993, -994, -5_000, -LARGEST])
def test_who_sees_no_accounts_learns_nothing_by_taking_credits_away(
    writer: User, user: User, held: None, change: int
) -> None:
    """Nor by trying how many can be taken: the answer is the same for all."""
    before = state(user)

    response = browser(writer).post(correction_page(user), {"change": change, "reason": "why"})

    content = response.content.decode()
    assert "To take credits away you must be allowed to see accounts." in content
    assert "are available" not in content
    assert state(user) == before


def test_who_sees_no_accounts_gives_credits_and_learns_no_balance(
    writer: User, user: User, held: None
) -> None:
    client = browser(writer)

    answer = client.post(correction_page(user), {"change": 5, "reason": "why"})
    after = client.get(answer["Location"])

    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))
    assert (after.status_code, state(user)[0]) == (200, CREDITS + 5)
    assert "Adjustment: +5 credits." in after.content.decode()
    assert not balances(after)


def test_who_sees_no_accounts_gives_back_a_charge_and_learns_no_balance(
    writer: User, user: User
) -> None:
    charge = make_charge(user)
    client = browser(writer)

    shown = client.get(refund_page(charge))
    answer = client.post(refund_page(charge), {"reason": "why"})
    again = client.post(refund_page(charge), {"reason": "why"})

    assert (answer.status_code, state(user)[0]) == (302, CREDITS)
    for response in (shown, again, client.get(answer["Location"])):
        assert response.status_code == 200
        assert not balances(response)


@pytest.mark.parametrize("query", ["", "?balance_after=1000", "?held_after__gt=0", "?o=7"])
def test_who_sees_entries_but_no_accounts_sees_no_balance_beside_them(
    writer: User, user: User, held: None, query: str
) -> None:
    permit(writer, "view_ledgerentry")
    client, viewer = browser(writer), "admin:billing_ledgerentry_change"
    entry = LedgerEntry.objects.latest("id")

    listed = client.get(reverse("admin:billing_ledgerentry_changelist") + query, follow=True)
    one = client.get(reverse(viewer, args=[entry.pk]))

    assert one.status_code == 200
    assert "balance after" not in one.content.decode().lower()
    if query.startswith(("?balance", "?held")):
        assert listed.status_code == 400
    else:
        columns = listed.context["cl"].list_display
        assert not {"balance_after", "held_after"} & set(columns)


def test_who_may_see_accounts_is_told_what_is_there(admin: Client, user: User, held: None) -> None:
    response = admin.post(correction_page(user), {"change": -994, "reason": "why"})

    assert "Only 993 credits are available." in response.content.decode()
    entries = admin.get(reverse("admin:billing_ledgerentry_changelist"))
    assert "balance_after" in entries.context["cl"].list_display

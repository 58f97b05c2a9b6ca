"""An operator gives a charge back: once, in full, with a reason."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import CreditAccount, LedgerEntry
from carprice.http.errors import InvalidInput, WrongState

pytestmark = pytest.mark.django_db
Kind = LedgerEntry.Kind
PRICE = 40


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def charge(user: User) -> LedgerEntry:
    return make_charge(user)


def make_charge(user: User) -> LedgerEntry:
    hold_id = services.place_hold(user_id=user.pk, amount=PRICE, subject_id=uuid4())
    services.resolve_holds(captured=[hold_id])
    return LedgerEntry.objects.get(resolves_id=hold_id)


def state(user: User) -> tuple[int, int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held, LedgerEntry.objects.count()


def test_a_refund_gives_the_whole_charge_back_and_says_why(
    user: User, operator: User, charge: LedgerEntry
) -> None:
    entry = services.refund_charge(capture=charge, reason=" Wrong model ", actor=operator)

    assert state(user)[:2] == (1000, 0)
    assert (entry.kind, entry.balance_change, entry.balance_after) == (Kind.REFUND, PRICE, 1000)
    assert (entry.resolves, entry.subject_id) == (charge, charge.subject_id)
    assert (entry.actor, entry.reason) == (operator, "Wrong model")
    assert not list(breaches())


def test_a_refund_leaves_what_is_held(user: User, operator: User, charge: LedgerEntry) -> None:
    services.place_hold(user_id=user.pk, amount=7, subject_id=uuid4())

    entry = services.refund_charge(capture=charge, reason="why", actor=operator)

    assert (entry.balance_after, entry.held_after) == (1000, 7)
    assert state(user)[:2] == (1000, 7)


def test_a_charge_is_refunded_once(user: User, operator: User, charge: LedgerEntry) -> None:
    services.refund_charge(capture=charge, reason="why", actor=operator)
    before = state(user)

    with pytest.raises(WrongState):
        services.refund_charge(capture=charge, reason="again", actor=operator)

    assert state(user) == before


@pytest.mark.parametrize("kind", ["top_up", "hold", "release", "refund"])
def test_only_a_charge_is_refunded(
    user: User, operator: User, charge: LedgerEntry, kind: str
) -> None:
    hold_id = services.place_hold(user_id=user.pk, amount=1, subject_id=uuid4())
    services.resolve_holds(released=[hold_id])
    services.refund_charge(capture=charge, reason="why", actor=operator)
    before = state(user)

    with pytest.raises(WrongState):
        services.refund_charge(
            capture=LedgerEntry.objects.filter(kind=kind)[0], reason="why", actor=operator
        )

    assert state(user) == before


@pytest.mark.parametrize("reason", ["", " ", "\t\n"])
def test_a_refund_needs_a_reason(
    user: User, operator: User, charge: LedgerEntry, reason: str
) -> None:
    before = state(user)

    with pytest.raises(InvalidInput) as refusal:
        services.refund_charge(capture=charge, reason=reason, actor=operator)

    assert list(refusal.value.errors) == ["reason"]
    assert state(user) == before


def test_a_refund_beyond_the_ceiling_is_refused(
    user: User, operator: User, charge: LedgerEntry
) -> None:
    services.set_available(user_id=user.pk, new_amount=settings.CREDIT_CEILING)
    before = state(user)

    with pytest.raises(InvalidInput):
        services.refund_charge(capture=charge, reason="why", actor=operator)

    assert state(user) == before


@pytest.mark.django_db(transaction=True)
def test_of_eight_refunds_at_once_one_is_written(
    user: User, operator: User, charge: LedgerEntry, at_once: Callable[..., list[Any]]
) -> None:
    def refund() -> LedgerEntry:
        return services.refund_charge(capture=charge, reason="why", actor=operator)

    results = at_once([refund] * 8, WrongState)

    assert sum(isinstance(result, LedgerEntry) for result in results) == 1
    assert state(user)[:2] == (1000, 0)
    assert not list(breaches())


class TestTheDatabaseRefuses:
    @pytest.fixture
    def fitting(self, user: User, operator: User, charge: LedgerEntry) -> dict[str, Any]:
        return {
            "account_id": user.pk,
            "kind": "refund",
            "balance_change": PRICE,
            "held_change": 0,
            "balance_after": 1000,
            "held_after": 0,
            "subject_id": charge.subject_id,
            "resolves_id": charge.pk,
            "actor": operator,
            "reason": "why",
        }

    def test_a_second_refund(self, fitting: dict[str, Any]) -> None:
        LedgerEntry.objects.create(**fitting)

        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(**fitting)

    @pytest.mark.parametrize(
        "change",
        [
            {"balance_change": PRICE - 1},
            {"balance_change": PRICE + 1},
            {"held_change": 1},
            {"resolves_id": None},
            {"subject_id": None},
            {"subject_id": UUID(int=7)},
            {"actor": None},
            {"reason": ""},
            {"kind": "top_up"},
        ],
        ids=str,
    )
    def test_a_refund_that_does_not_fit(
        self, fitting: dict[str, Any], change: dict[str, Any]
    ) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(**{**fitting, **change})
        LedgerEntry.objects.create(**fitting)

    def test_a_refund_to_another_account(
        self, fitting: dict[str, Any], make_user: Callable[..., User]
    ) -> None:
        other = make_user("bob@example.com")

        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(**{**fitting, "account_id": other.pk})

    def test_a_refund_of_a_hold(self, fitting: dict[str, Any], user: User) -> None:
        subject_id = uuid4()
        hold_id = services.place_hold(user_id=user.pk, amount=PRICE, subject_id=subject_id)

        with pytest.raises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(
                **{**fitting, "resolves_id": hold_id, "subject_id": subject_id}
            )


class TestInTheAdmin:
    @pytest.fixture
    def admin(self, operator: User) -> Client:
        client = Client()
        client.force_login(operator)
        return client

    @staticmethod
    def change(entry: LedgerEntry) -> str:
        return reverse("admin:billing_ledgerentry_change", args=[entry.pk])

    @staticmethod
    def page(entry: LedgerEntry | int | str) -> str:
        key = entry.pk if isinstance(entry, LedgerEntry) else entry
        return reverse("admin:billing_ledgerentry_refund", args=[key])

    def test_a_charge_leads_to_its_refund(self, admin: Client, charge: LedgerEntry) -> None:
        content = admin.get(self.change(charge)).content.decode()

        assert f'href="{self.page(charge)}"' in content
        assert "Give back 40 credits" in admin.get(self.page(charge)).content.decode()

    def test_the_refund_is_written_in_the_operators_name(
        self, admin: Client, operator: User, user: User, charge: LedgerEntry
    ) -> None:
        response = admin.post(self.page(charge), {"reason": "Wrong model"})

        entry = LedgerEntry.objects.latest("id")
        assert response.status_code == 302
        assert response["Location"] == self.change(charge)
        assert (entry.kind, entry.resolves, entry.actor) == (Kind.REFUND, charge, operator)
        assert state(user)[0] == 1000

    def test_a_charge_that_was_refunded_says_so(
        self, admin: Client, user: User, operator: User, charge: LedgerEntry
    ) -> None:
        services.refund_charge(capture=charge, reason="why", actor=operator)
        before = state(user)

        shown = admin.get(self.change(charge)).content.decode()
        again = admin.post(self.page(charge), {"reason": "again"})

        assert "Refund +40" in shown
        assert self.page(charge) not in shown
        assert "This charge has been given back." in again.content.decode()
        assert state(user) == before

    def test_a_charge_that_was_refunded_has_no_form(
        self, admin: Client, operator: User, charge: LedgerEntry
    ) -> None:
        services.refund_charge(capture=charge, reason="why", actor=operator)

        content = admin.get(self.page(charge)).content.decode()

        assert "This charge has been given back." in content
        assert "Write the entry" not in content

    def test_what_is_no_charge_has_no_form(
        self, admin: Client, user: User, charge: LedgerEntry
    ) -> None:
        top_up = services.top_up(user_id=user.pk, amount=100_000)
        before = state(user)

        shown = admin.get(self.page(top_up)).content.decode()
        sent = admin.post(self.page(top_up), {"reason": "why"}).content.decode()

        for content in (shown, sent):
            assert "Only a charge can be given back." in content
            assert "-100,000" not in content
            assert "Write the entry" not in content
        assert state(user) == before

    def test_what_is_no_charge_has_no_link(self, admin: Client, charge: LedgerEntry) -> None:
        hold = charge.resolves
        assert hold

        assert self.page(hold) not in admin.get(self.change(hold)).content.decode()

    @pytest.mark.parametrize("form", [{}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 201}])
    def test_without_a_reason_nothing_is_written(
        self, admin: Client, user: User, charge: LedgerEntry, form: dict[str, str]
    ) -> None:
        before = state(user)

        response = admin.post(self.page(charge), form)

        assert response.status_code == 200
        assert state(user) == before

    @pytest.mark.parametrize("key", ["0", "999999999", "abc", "9" * 30])
    def test_an_entry_that_does_not_exist_is_not_found(self, admin: Client, key: str) -> None:
        assert admin.post(self.page(key), {"reason": "why"}).status_code == 404

    def test_it_needs_the_permission_to_write_entries(
        self, make_user: Callable[..., User], user: User, charge: LedgerEntry
    ) -> None:
        client = Client()
        client.force_login(make_user("staff@example.com", credit=0, is_staff=True))
        before = state(user)

        assert client.post(self.page(charge), {"reason": "mine"}).status_code == 403
        assert state(user) == before


def test_the_owner_sees_the_refund_in_the_wallet(
    user: User, operator: User, charge: LedgerEntry, api: Any
) -> None:
    services.refund_charge(capture=charge, reason="Wrong model", actor=operator)

    newest = api.get("/api/wallet/transactions?kind=refund").json()["results"][0]

    assert (newest["kind"], newest["amount"], newest["balance_after"]) == ("refund", PRICE, 1000)
    assert (newest["task_id"], newest["reason"]) == (str(charge.subject_id), "Wrong model")

"""Vouchers: their codes, and that each is redeemed once, by whoever has all of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from billing import services as ledger
from billing.models import CreditAccount, LedgerEntry
from billing.payments import codes, services
from billing.payments.models import Voucher
from carprice.http.errors import InvalidInput, WrongState
from carprice.http.throttling import TooManyRequests
from predictions.audit import breaches
from testing.fixtures import AtOnce
from testing.lifecycle import overlap
from testing.pages import browser_of, error_at, form_key, words

pytestmark = pytest.mark.django_db

MakeCodes = Callable[..., list[str]]
UNKNOWN = "0000-0000-0000-0000-0000"
ADDRESS = "192.0.2.1"


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def make_codes(operator: User) -> MakeCodes:
    def make(count: int = 1, credit: int = 50, **fields: Any) -> list[str]:
        seed = codes.new_seed()
        services.make_vouchers(seed=seed, count=count, credit=credit, actor=operator, **fields)
        return codes.derive(seed, count)

    return make


@pytest.fixture
def code(make_codes: MakeCodes) -> str:
    return make_codes()[0]


def redeem(user: User, code: str, address: str = ADDRESS) -> Voucher:
    return services.redeem(user=user, code=code, address=address)


def balance(user: User) -> int:
    return CreditAccount.objects.get(pk=user.pk).balance


# --- Codes ---------------------------------------------------------------------------------------


def test_a_code_is_read_out_in_groups_of_letters_that_are_not_mixed_up() -> None:
    made = codes.derive(codes.new_seed(), 200)

    assert len(set(made)) == 200
    assert {len(code) for code in made} == {24}
    assert set("".join(made)) == {*codes.ALPHABET, "-"}
    assert not set("".join(made)) & set("ILOU")


def test_other_seeds_make_other_codes() -> None:
    first, second = (codes.derive(codes.new_seed(), 50) for _ in range(2))

    assert not set(first) & set(second)


@pytest.mark.parametrize(
    "typed",
    [
        "0123-4567-89AB-CDEF-GHJK",
        " 0123 4567 89ab cdef ghjk ",
        "oi23456789abcdefghjk",
        "OL23–4567–89AB–CDEF–GHJK",
        "０１２３-4567-89AB-CDEF-GHJK",
    ],
)
def test_a_code_is_understood_as_people_type_it(typed: str) -> None:
    assert codes.normalize(typed) == "0123456789ABCDEFGHJK"


@pytest.mark.parametrize(
    "typed", ["", "-", "0123", "0123-4567-89AB-CDEF-GHJU", "x" * 1000, "0123-4567-89AB-CDEF-GHJK0"]
)
def test_what_is_no_code_is_none(typed: str) -> None:
    assert codes.normalize(typed) == ""


def test_of_a_code_only_its_beginning_and_a_hash_are_kept(code: str) -> None:
    row = Voucher.objects.values().get()

    assert row["beginning"] == code[:4]
    kept = " ".join(str(value) for value in row.values())
    assert code[5:9] not in kept.upper().replace(row["code_hash"].upper(), "")
    assert codes.normalize(code) not in kept


# --- Redeeming -----------------------------------------------------------------------------------


def test_a_voucher_adds_its_credits_by_one_entry(user: User, code: str) -> None:
    voucher = redeem(user, code.lower())

    assert voucher.entry
    assert (voucher.entry.kind, voucher.entry.balance_change) == ("top_up", 50)
    assert voucher.entry.reason == f"Voucher {code[:4]}-…"
    assert balance(user) == 1050
    assert breaches() == []


def test_a_voucher_is_redeemed_once(user: User, code: str, make_user: Callable[..., User]) -> None:
    redeem(user, code)

    for other in (user, make_user("bob@example.com")):
        with pytest.raises(WrongState, match="has been redeemed"):
            redeem(other, code)
        assert balance(other) in (1000, 1050)
    assert LedgerEntry.objects.filter(reason__startswith="Voucher").count() == 1


def test_an_expired_voucher_is_refused(user: User, code: str) -> None:
    Voucher.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    with pytest.raises(WrongState, match="has expired"):
        redeem(user, code)
    assert balance(user) == 1000


def test_a_revoked_voucher_is_refused(user: User, code: str, operator: User) -> None:
    assert services.revoke(voucher_ids=[Voucher.objects.get().pk], actor=operator) == 1

    with pytest.raises(WrongState, match="has been revoked"):
        redeem(user, code)
    assert balance(user) == 1000


def test_what_is_redeemed_is_not_revoked(user: User, code: str, operator: User) -> None:
    voucher = redeem(user, code)

    assert services.revoke(voucher_ids=[voucher.pk], actor=operator) == 0
    voucher.refresh_from_db()
    assert voucher.state == "redeemed"


def test_an_operator_redeems_no_voucher_of_their_own(operator: User, code: str) -> None:
    with pytest.raises(ledger.OwnAccount):
        redeem(operator, code)
    assert balance(operator) == 0


def test_an_account_without_room_leaves_the_voucher_as_it_is(user: User, code: str) -> None:
    ledger.set_available(user_id=user.pk, new_amount=1_000_000_000)

    with pytest.raises(InvalidInput):
        redeem(user, code)
    assert Voucher.objects.get().state == "open"


def test_a_voucher_cannot_say_that_it_is_redeemed_without_an_entry(code: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Voucher.objects.update(redeemed_at=datetime.now(UTC))


# --- Making --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("count", {"count": 0}),
        ("count", {"count": 1001}),
        ("credit", {"credit": 0}),
        ("credit", {"credit": 1_000_001}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("count", {"count": 2, "credit": 600_000}),
    ],
)
def test_a_batch_beyond_the_limits_is_refused(
    make_codes: MakeCodes, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_codes(**fields)

    assert list(refusal.value.errors) == [field]
    assert not Voucher.objects.exists()


def test_batches_of_a_day_add_up(make_codes: MakeCodes, settings: LazySettings) -> None:
    settings.LARGEST_VOUCHERS = 100
    make_codes(count=1, credit=60)

    with pytest.raises(InvalidInput, match="not valid"):
        make_codes(count=1, credit=41)
    make_codes(count=1, credit=40)


# --- Guessing ------------------------------------------------------------------------------------


def test_wrong_codes_are_counted_by_account(user: User, code: str) -> None:
    for number in range(10):
        with pytest.raises(InvalidInput):
            redeem(user, UNKNOWN, f"192.0.2.{number}")

    with pytest.raises(TooManyRequests):
        redeem(user, code, "192.0.2.99")
    assert balance(user) == 1000


def test_wrong_codes_are_counted_by_address(make_user: Callable[..., User], code: str) -> None:
    users = [make_user(f"user{number}@example.com") for number in range(11)]
    for guesser in users[:10]:
        with pytest.raises(InvalidInput):
            redeem(guesser, UNKNOWN)

    with pytest.raises(TooManyRequests):
        redeem(users[10], code)
    assert redeem(users[10], code, "198.51.100.7").entry


# --- At the same instant -------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_at_once_redeem_a_voucher_once(
    make_user: Callable[..., User], code: str, at_once: AtOnce
) -> None:
    users = [make_user(f"user{number}@example.com") for number in range(8)]

    results = at_once([lambda user=user: redeem(user, code) for user in users], WrongState)

    assert sum(isinstance(result, Voucher) for result in results) == 1
    assert sorted(map(balance, users)) == [1000] * 7 + [1050]
    assert breaches() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("undo", [False, True], ids=["committed", "rolled-back"])
def test_redeeming_waits_for_a_revocation(
    user: User, code: str, operator: User, undo: bool
) -> None:
    key = Voucher.objects.get().pk

    _revoked, result = overlap(
        lambda: services.revoke(voucher_ids=[key], actor=operator),
        lambda: redeem(user, code),
        undo=undo,
    )

    assert isinstance(result, Voucher if undo else WrongState)
    assert balance(user) == (1050 if undo else 1000)


# --- The API -------------------------------------------------------------------------------------


def test_the_api_redeems_a_voucher(api: APIClient, code: str) -> None:
    response = api.post("/api/wallet/vouchers", {"code": code}, format="json")

    assert response.status_code == 201
    assert response.json()["wallet"] == {"balance": 1050, "held": 0, "available": 1050}
    assert response.json()["transaction"]["kind"] == "top_up"


def test_a_lost_answer_is_given_again_with_its_key(api: APIClient, code: str) -> None:
    answers = [
        api.post(
            "/api/wallet/vouchers", {"code": code}, format="json", headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("sent", [UNKNOWN, "no code", ""])
def test_the_api_names_the_field_of_a_wrong_code(api: APIClient, user: User, sent: str) -> None:
    response = api.post("/api/wallet/vouchers", {"code": sent}, format="json")

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["code"]
    assert balance(user) == 1000


def test_the_api_says_that_a_voucher_is_used(api: APIClient, user: User, code: str) -> None:
    redeem(user, code)

    response = api.post("/api/wallet/vouchers", {"code": code}, format="json")

    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")


# --- The wallet page -----------------------------------------------------------------------------


@pytest.fixture
def by_voucher(settings: LazySettings) -> None:
    settings.TOP_UPS = "voucher"


@pytest.mark.usefixtures("by_voucher")
def test_the_wallet_redeems_a_voucher_once_however_often_it_is_sent(
    browser: Client, user: User, code: str
) -> None:
    page = browser.get("/wallet")
    fields = {"code": code, "form_key": form_key(page)}

    first, second = (browser.post("/wallet", fields, follow=True) for _ in range(2))

    assert "Redeem a voucher" in words(page)
    assert "50 credits added." in words(first)
    assert "sent twice" in words(second)
    assert balance(user) == 1050


@pytest.mark.usefixtures("by_voucher")
def test_the_wallet_names_the_field_of_a_wrong_code(browser: Client, user: User) -> None:
    response = browser.post("/wallet", {"code": UNKNOWN})

    assert response.status_code == 422
    assert error_at(response, "code") == "There is no voucher with this code."
    assert balance(user) == 1000


@pytest.mark.usefixtures("by_voucher")
def test_the_wallet_says_what_is_wrong_with_a_voucher(
    browser: Client, user: User, code: str
) -> None:
    redeem(user, code)

    response = browser.post("/wallet", {"code": code})

    assert response.status_code == 422
    assert "This voucher has been redeemed." in words(response)


# --- The admin -----------------------------------------------------------------------------------


def test_an_operator_makes_a_batch_and_reads_its_codes(operator: User, user: User) -> None:
    browser = browser_of(operator)
    fields = {"count": "3", "credit": "20", "note": "For the fair", "expires_at": ""}

    page = browser.post("/admin/payments/voucher/add/", fields, follow=True)
    table = browser.get(f"{page.request['PATH_INFO']}?as=csv")

    shown = [code for code, _voucher in page.context["rows"]]
    assert all(code in words(page) for code in shown)
    lines = b"".join(table).decode().splitlines()
    assert [line.split(",")[0] for line in lines] == ["code", *shown]
    assert redeem(user, shown[2]).note == "For the fair"


def test_codes_are_shown_to_the_browser_that_made_them_alone(operator: User) -> None:
    maker, other = browser_of(operator), browser_of(operator)
    page = maker.post("/admin/payments/voucher/add/", {"count": "1", "credit": "20"}, follow=True)
    path = page.request["PATH_INFO"]

    (code, _voucher), *_ = page.context["rows"]

    assert maker.cookies["voucher_seed"]["path"] == path
    assert maker.cookies["voucher_seed"]["httponly"]
    assert code not in words(other.get(path))
    assert "were shown once" in words(other.get(path))


@pytest.mark.parametrize(
    "fields",
    [
        {"count": "0", "credit": "20"},
        {"count": "1", "credit": "0"},
        {"count": "1", "credit": "many"},
        {"count": "1", "credit": "1", "expires_at": "yesterday"},
        {"count": "1", "credit": "1", "expires_at": "2020-01-01"},
        {"count": "1", "credit": "1", "expires_at": "2030-02-30"},
        {"count": "1", "credit": "1", "expires_at": "9" * 5000},
        {"count": "1", "credit": "1", "note": "x" * 201},
        {"count": "1", "credit": "1", "note": "x\x00"},
        {},
    ],
)
def test_a_wrong_batch_is_shown_again(operator: User, fields: dict[str, str]) -> None:
    response = browser_of(operator).post("/admin/payments/voucher/add/", fields)

    assert response.status_code == 200
    assert response.context["form"].errors
    assert not Voucher.objects.exists()


def test_an_operator_revokes_chosen_vouchers(
    operator: User, user: User, make_codes: MakeCodes
) -> None:
    made = make_codes(count=3)
    redeem(user, made[0])
    keys = list(Voucher.objects.values_list("pk", flat=True))

    page = browser_of(operator).post(
        "/admin/payments/voucher/", {"action": "revoke", "_selected_action": keys}, follow=True
    )

    assert "2 vouchers revoked. The others" in words(page)
    assert [voucher.state for voucher in Voucher.objects.order_by("pk")] == [
        "redeemed",
        "revoked",
        "revoked",
    ]
    assert Voucher.objects.filter(revoked_by=operator).count() == 2


@pytest.mark.parametrize("state", ["open", "redeemed", "revoked", "expired"])
def test_vouchers_are_listed_by_state(
    operator: User, user: User, make_codes: MakeCodes, state: str
) -> None:
    made = make_codes(count=4)
    keys = list(Voucher.objects.order_by("pk").values_list("pk", flat=True))
    redeem(user, made[1])
    services.revoke(voucher_ids=[keys[2]], actor=operator)
    Voucher.objects.filter(pk=keys[3]).update(expires_at=datetime.now(UTC))

    page = browser_of(operator).get("/admin/payments/voucher/", {"state": state})

    assert [row.state for row in page.context["cl"].result_list] == [state]


def test_a_customer_makes_none(user: User, make_user: Callable[..., User]) -> None:
    clerk = make_user("clerk@example.com", is_staff=True)

    statuses = [
        browser_of(person)
        .post("/admin/payments/voucher/add/", {"count": "1", "credit": "20"})
        .status_code
        for person in (user, clerk)
    ]

    assert statuses == [302, 403]
    assert not Voucher.objects.exists()


def test_a_batch_is_one_thing(make_codes: MakeCodes) -> None:
    make_codes(count=3)

    (batch_id,) = set(Voucher.objects.values_list("batch_id", flat=True))
    assert isinstance(batch_id, UUID)

"""The wallet at /api/wallet: its sums, topping up, and the movements page by page."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts.models import User
from billing import services
from billing.models import CreditAccount, LedgerEntry

pytestmark = pytest.mark.django_db
ROUTES = [
    ("get", "/api/wallet"),
    ("post", "/api/wallet/topup"),
    ("get", "/api/wallet/transactions"),
]
FIELDS = [
    "id",
    "kind",
    "amount",
    "balance_after",
    "task_id",
    "batch_id",
    "reason",
    "created_at",
]


def hold(user: User, amount: int, subject_id: UUID | None = None) -> int:
    return services.place_hold(user_id=user.pk, amount=amount, subject_id=subject_id or uuid4())


def top_up(api: APIClient, body: Any) -> Any:
    return api.post("/api/wallet/topup", body, format="json")


def transactions(api: APIClient, **query: str) -> list[dict[str, Any]]:
    response = api.get("/api/wallet/transactions", query)
    assert response.status_code == 200, response.json()
    return list(response.json()["results"])


def errors(response: Any) -> dict[str, list[str]]:
    """The messages by field of a refusal that changed nothing."""
    assert response.status_code == 400
    assert response.json()["code"] == "invalid_request"
    return dict(response.json()["errors"])


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_stranger_is_refused(method: str, path: str) -> None:
    response = getattr(APIClient(), method)(path)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert not LedgerEntry.objects.exists()


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_only_its_own_method_is_answered(api: APIClient, method: str, path: str) -> None:
    other = "post" if method == "get" else "get"

    response = getattr(api, other)(path)

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"


# --- GET /api/wallet -----------------------------------------------------------------------------


def test_a_new_wallet_is_empty(
    make_user: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    api = client_of(make_user("new@example.com", credit=0))

    assert api.get("/api/wallet").json() == {"balance": 0, "held": 0, "available": 0}


def test_the_wallet_tells_what_is_held_from_what_is_free(api: APIClient, user: User) -> None:
    hold(user, 40)

    assert api.get("/api/wallet").json() == {"balance": 1000, "held": 40, "available": 960}


# --- POST /api/wallet/topup ----------------------------------------------------------------------


def test_a_top_up_answers_with_its_transaction_and_the_wallet(api: APIClient, user: User) -> None:
    hold(user, 40)

    response = top_up(api, {"amount": 250})

    assert response.status_code == 201
    body = response.json()
    entry = LedgerEntry.objects.latest("id")
    assert list(body) == ["transaction", "wallet"]
    assert list(body["transaction"]) == FIELDS
    assert body["transaction"] == {
        "id": str(entry.transaction_id),
        "kind": "top_up",
        "amount": 250,
        "balance_after": 1250,
        "task_id": None,
        "batch_id": None,
        "reason": "",
        "created_at": entry.created_at.isoformat().replace("+00:00", "Z"),
    }
    assert body["wallet"] == {"balance": 1250, "held": 40, "available": 1210}


def test_the_transaction_of_a_top_up_is_the_first_of_the_list(api: APIClient) -> None:
    transaction = top_up(api, {"amount": 250}).json()["transaction"]

    assert transactions(api)[0] == transaction


@pytest.mark.parametrize("amount", [1, settings.TOP_UP_LIMIT])
def test_the_smallest_and_the_largest_top_up_are_taken(api: APIClient, amount: int) -> None:
    assert top_up(api, {"amount": amount}).json()["wallet"]["balance"] == 1000 + amount


@pytest.mark.parametrize(
    "amount",
    [0, -1, settings.TOP_UP_LIMIT + 1, 2**63, 10**30, 1.0, 0.5, "5", "1e3", True, None, [5], {}],
)
def test_a_wrong_amount_is_named(api: APIClient, user: User, amount: Any) -> None:
    assert list(errors(top_up(api, {"amount": amount}))) == ["amount"]
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, ["amount"]),
        ({"amount": 5, "kind": "refund"}, ["kind"]),
        ({"amount": 0, "user_id": "1"}, ["amount", "user_id"]),
    ],
)
def test_a_missing_or_unknown_field_is_named(
    api: APIClient, user: User, body: Any, named: list[str]
) -> None:
    assert list(errors(top_up(api, body))) == named
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000


@pytest.mark.parametrize("body", [[], None, "5", 5])
def test_a_body_that_is_no_object_is_refused(api: APIClient, body: Any) -> None:
    assert errors(top_up(api, body))


def test_a_top_up_beyond_the_ceiling_is_refused_and_writes_nothing(
    api: APIClient, user: User
) -> None:
    services.set_available(user_id=user.pk, new_amount=settings.CREDIT_CEILING)
    before = LedgerEntry.objects.count()

    response = top_up(api, {"amount": 1})

    assert list(errors(response)) == ["amount"]
    assert LedgerEntry.objects.count() == before


# --- GET /api/wallet/transactions ----------------------------------------------------------------


@pytest.fixture
def movements(user: User, make_user: Callable[..., User]) -> UUID:
    """A charge, an adjustment by an operator and a release, after the first credits."""
    subject_id = uuid4()
    services.resolve_holds(captured=[hold(user, 40, subject_id)], released=[hold(user, 25)])
    operator = make_user("op@example.com", credit=0)
    services.correct_balance(user_id=user.pk, change=-10, reason="Paid twice", actor=operator)
    hold(user, 7)
    return subject_id


@pytest.mark.usefixtures("movements")
def test_what_is_posted_is_listed_newest_first_and_signed(api: APIClient) -> None:
    listed = transactions(api)

    assert [(row["kind"], row["amount"], row["balance_after"]) for row in listed] == [
        ("adjustment", -10, 950),
        ("charge", -40, 960),
        ("top_up", 1000, 1000),
    ]


def test_a_charge_names_its_task_and_a_correction_its_reason(
    api: APIClient, movements: UUID
) -> None:
    correction, charge, first = transactions(api)

    assert (charge["task_id"], charge["batch_id"]) == (str(movements), None)
    assert (correction["task_id"], correction["reason"]) == (None, "Paid twice")
    assert list(first) == FIELDS


@pytest.mark.usefixtures("movements")
def test_ids_are_uuids_that_stay_and_differ(api: APIClient) -> None:
    first, second = transactions(api), transactions(api)

    assert first == second
    assert len({UUID(row["id"]) for row in first}) == 3


@pytest.mark.usefixtures("movements")
@pytest.mark.parametrize(
    ("kind", "amounts"),
    [("top_up", [1000]), ("charge", [-40]), ("adjustment", [-10]), ("refund", [])],
)
def test_one_kind_can_be_asked_for(api: APIClient, kind: str, amounts: list[int]) -> None:
    listed = transactions(api, kind=kind)

    assert [row["amount"] for row in listed] == amounts


@pytest.mark.parametrize("kind", ["capture", "hold", "release", "", "TOP_UP", "x' OR 1=1--", "\0"])
def test_an_unknown_kind_is_refused_with_the_known_ones(api: APIClient, kind: str) -> None:
    response = api.get("/api/wallet/transactions", {"kind": kind})

    assert errors(response) == {"kind": ["Choose one of: top_up, charge, adjustment, refund."]}


def test_times_limit_the_list_exclusively(api: APIClient, user: User) -> None:
    services.top_up(user_id=user.pk, amount=5)
    newest, oldest = (row["created_at"] for row in transactions(api))

    def amounts(**query: str) -> list[int]:
        return [row["amount"] for row in transactions(api, **query)]

    before = (datetime.fromisoformat(oldest) - timedelta(seconds=1)).isoformat()
    assert amounts(created_after=before) == [5, 1000]
    assert amounts(created_after=newest) == []
    assert amounts(created_before=oldest) == []


@pytest.mark.parametrize("name", ["created_after", "created_before"])
@pytest.mark.parametrize("time", ["2026-05-10T12:00:00", "9999-99-99", "0001-01-01T00:00:00Z"])
def test_a_bad_time_is_named(api: APIClient, name: str, time: str) -> None:
    assert list(errors(api.get("/api/wallet/transactions", {name: time}))) == [name]


@pytest.mark.parametrize("query", ["page=2", "ordering=amount", "user_id=1"])
def test_an_unknown_parameter_is_named(api: APIClient, query: str) -> None:
    assert list(errors(api.get(f"/api/wallet/transactions?{query}"))) == [query.split("=")[0]]


def test_a_tampered_cursor_is_named(api: APIClient) -> None:
    assert list(errors(api.get("/api/wallet/transactions?cursor=abc"))) == ["cursor"]


def test_the_list_is_paged_by_its_links(api: APIClient, user: User) -> None:
    for amount in (1, 2, 3):
        services.top_up(user_id=user.pk, amount=amount)

    first = api.get("/api/wallet/transactions?kind=top_up&page_size=3").json()
    second = api.get(first["next"]).json()
    again = api.get(second["previous"]).json()

    assert [row["amount"] for row in first["results"]] == [3, 2, 1]
    assert [row["amount"] for row in second["results"]] == [1000]
    assert (first["previous"], second["next"]) == (None, None)
    assert again["results"] == first["results"]


def test_the_movements_and_cursors_of_others_are_theirs(
    api: APIClient, make_user: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    other = client_of(make_user("bob@example.com", credit=777))
    top_up(other, {"amount": 1})
    theirs = other.get("/api/wallet/transactions?page_size=1").json()["next"]

    assert [row["amount"] for row in transactions(api)] == [1000]
    assert list(errors(api.get(theirs))) == ["cursor"]


def test_a_browser_gets_the_same_as_a_page(user: User, api: APIClient) -> None:
    response = api.get("/api/wallet/transactions", headers={"Accept": "text/html"})

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")

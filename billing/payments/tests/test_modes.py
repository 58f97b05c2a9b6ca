"""Who may have credits, in each mode: both API routes, the wallet, the buy button, the policy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.pages import typed, words

CLOSED = ["voucher", "stripe", "operator"]
STRIPE = {
    "STRIPE_SECRET_KEY": "sk_live_do_not_show",
    "STRIPE_WEBHOOK_SECRET": "whsec_do_not_show",
    "CREDIT_PRICE": "5",
    "CREDIT_CURRENCY": "EUR",
}
READ = """
from django.conf import settings
print(settings.TOP_UPS, settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["form-action"],
    settings.CREDIT_AMOUNTS, settings.CREDIT_CURRENCY)
"""


def read_settings(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", READ],
        cwd=settings.BASE_DIR,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "carprice.settings",
            "VAR_DIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(folder: Path, **environment: str) -> str:
    """The last line of a start that is refused; no secret is in any."""
    ended = read_settings(folder, **environment)
    assert ended.returncode != 0
    assert "do_not_show" not in ended.stderr
    return ended.stderr.strip().splitlines()[-1].partition("ImproperlyConfigured: ")[2]


# --- Settings ------------------------------------------------------------------------------------


def test_with_nothing_set_everybody_adds_credits(tmp_path: Path) -> None:
    assert read_settings(tmp_path).stdout.startswith("""open ["'self'"]""")


def test_with_https_it_must_be_said(tmp_path: Path) -> None:
    assert refusal(tmp_path, HTTPS="true").startswith(
        "TOP_UPS must be set with HTTPS=true: to open"
    )


@pytest.mark.parametrize("mode", ["open", "Voucher", "OPERATOR"])
def test_with_https_whatever_is_said_holds(tmp_path: Path, mode: str) -> None:
    ended = read_settings(tmp_path, HTTPS="true", TOP_UPS=mode)

    assert ended.stdout.startswith(f"""{mode.lower()} ["'self'"]"""), ended.stderr


def test_forms_lead_to_the_payment_service_only_where_credits_are_sold(tmp_path: Path) -> None:
    ended = read_settings(tmp_path, TOP_UPS="stripe", **STRIPE, CREDIT_AMOUNTS="10, 20")

    expected = """stripe ["'self'", 'https://checkout.stripe.com'] [10, 20] eur"""
    assert ended.stdout.strip() == expected


@pytest.mark.parametrize("name", list(STRIPE))
def test_to_sell_credits_needs_all_that_it_takes(tmp_path: Path, name: str) -> None:
    given = {key: value for key, value in STRIPE.items() if key != name}

    sentence = refusal(tmp_path, TOP_UPS="stripe", **given)

    assert sentence == f"{name} must be set with TOP_UPS=stripe."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOP_UPS", "anyone"),
        ("CREDIT_PRICE", "0"),
        ("CREDIT_PRICE", "0.01"),
        ("CREDIT_CURRENCY", "euro"),
        ("CREDIT_AMOUNTS", "10,many"),
        ("CREDIT_AMOUNTS", ","),
        ("CREDIT_AMOUNTS", "0"),
        ("STRIPE_API_BASE", "api.stripe.com"),
        ("STRIPE_SECRET_KEY", "sk_ do_not_show"),
        ("LARGEST_VOUCHERS", "-1"),
        ("THROTTLE_WRONG_VOUCHER", "10"),
    ],
)
def test_a_malformed_setting_is_named(tmp_path: Path, name: str, value: str) -> None:
    assert refusal(tmp_path, **{name: value}).startswith(f"{name} must ")


# --- The API -------------------------------------------------------------------------------------


@pytest.fixture(params=CLOSED)
def closed(request: pytest.FixtureRequest, settings: LazySettings) -> str:
    mode = str(request.param)
    settings.TOP_UPS = mode
    return mode


def state(user: User) -> tuple[int, int]:
    return CreditAccount.objects.get(pk=user.pk).balance, LedgerEntry.objects.count()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/balance", {"new_amount": 5}),
        ("/balance", {"new_amount": 5000}),
        ("/balance", {"new_amount": "x"}),
        ("/api/wallet/topup", {"amount": 5}),
        ("/api/wallet/topup", {}),
    ],
)
def test_where_it_is_not_open_nobody_adds_credits_by_the_api(
    api: APIClient, user: User, closed: str, path: str, body: dict[str, Any]
) -> None:
    before = state(user)

    response = api.post(path, body, format="json")

    assert (response.status_code, response.json()["code"]) == (403, "top_ups_closed")
    assert response.json()["detail"].endswith(" here.")
    assert state(user) == before


def test_a_refused_top_up_leaves_its_idempotency_key_free(
    api: APIClient, user: User, settings: LazySettings
) -> None:
    key = {"Idempotency-Key": "k"}
    settings.TOP_UPS = "operator"
    refused = api.post("/api/wallet/topup", {"amount": 5}, format="json", headers=key)
    settings.TOP_UPS = "open"

    added = api.post("/api/wallet/topup", {"amount": 5}, format="json", headers=key)

    assert (refused.status_code, added.status_code) == (403, 201)


def test_where_it_is_open_both_routes_add_credits(api: APIClient, user: User) -> None:
    statuses = [
        api.post("/balance", {"new_amount": 2000}, format="json").status_code,
        api.post("/api/wallet/topup", {"amount": 5}, format="json").status_code,
    ]

    assert statuses == [200, 201]
    assert state(user)[0] == 2005


def test_the_balance_can_be_read_in_each_mode(api: APIClient, closed: str) -> None:
    assert api.get("/balance").json() == {"amount": 1000}


# --- Pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "words_of_it"),
    [
        ("open", "Top up Credits Add credits No payment is taken."),
        ("voucher", "Redeem a voucher Code Redeem"),
        ("stripe", "Buy credits Credits 100 credits for 1.00 USD"),
        ("operator", "Credits are added by the operators here."),
    ],
)
@pytest.mark.django_db
def test_the_wallet_shows_the_way_that_is_open(
    browser: Client, settings: LazySettings, mode: str, words_of_it: str
) -> None:
    settings.TOP_UPS = mode

    assert words_of_it in words(browser.get("/wallet")).replace("\N{NO-BREAK SPACE}", " ")


def test_a_top_up_that_is_sent_all_the_same_adds_nothing(
    browser: Client, user: User, closed: str
) -> None:
    before = state(user)

    response = browser.post("/wallet", {"amount": "250"})

    assert response.status_code == 422
    assert state(user) == before


@pytest.fixture
def poor(user: User, predictor: Predictor) -> User:
    CreditAccount.objects.filter(pk=user.pk).update(balance=1)
    return user


def test_the_button_that_adds_and_buys_is_not_shown(
    browser: Client, poor: User, predictor: Predictor, closed: str
) -> None:
    page = browser.get(f"/estimate/{predictor.name}")

    assert 'name="top_up"' not in page.content.decode()
    way = {
        "voucher": "Redeem a voucher",
        "stripe": "Buy credits",
        "operator": "added by the operators",
    }
    assert way[closed] in words(page)


def test_the_button_that_adds_and_buys_is_shown_where_it_is_open(
    browser: Client, poor: User, predictor: Predictor
) -> None:
    page = browser.get(f"/estimate/{predictor.name}")

    assert 'name="top_up"' in page.content.decode()


def test_an_old_button_that_adds_and_buys_does_neither(
    browser: Client, poor: User, predictor: Predictor, closed: str
) -> None:
    before = state(poor)

    response = browser.post(f"/estimate/{predictor.name}", {**typed(predictor), "top_up": "39"})

    assert response.status_code == 422
    assert " here." in words(response)
    assert state(poor) == before
    assert not Prediction.objects.exists()

"""The wallet page: what one has, topping up, and what moved."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing import services
from billing.models import CreditAccount, LedgerEntry
from billing.services import InsufficientCredits, set_available
from mlmodels.models import Predictor
from predictions.execution import runner
from predictions.models import Prediction
from predictions.services import request_prediction

pytestmark = pytest.mark.django_db

CEILING = 1_000_000_000


@pytest.fixture
def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def state(user: User) -> tuple[int, int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held, LedgerEntry.objects.count()


def text(response: Any) -> str:
    """A page's words, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def amount_error(response: Any) -> str:
    message = re.search(
        r'<p class="error" id="id_amount_error">(.*?)</p>', response.content.decode()
    )
    assert message, "no message at the amount"
    return message[1].strip()


def test_a_top_up_adds_credits_and_says_so(browser: Client, user: User) -> None:
    response = browser.post("/wallet", {"amount": "250"}, follow=True)

    assert response.redirect_chain == [("/wallet", 302)]
    assert "250 credits added." in text(response)
    assert state(user) == (1250, 0, 2)


def test_a_top_up_is_recorded_as_one(browser: Client) -> None:
    browser.post("/wallet", {"amount": "250"})

    entry = LedgerEntry.objects.latest("pk")
    assert (entry.kind, entry.balance_change, entry.balance_after) == ("top_up", 250, 1250)


@pytest.mark.parametrize("amount", ["1", "1000000"])
def test_the_smallest_and_the_largest_top_up_are_accepted(
    browser: Client, user: User, amount: str
) -> None:
    browser.post("/wallet", {"amount": amount})

    assert state(user)[0] == 1000 + int(amount)


@pytest.mark.parametrize(
    ("amount", "added"),
    [("1 000", 1000), ("1'000", 1000), ("１２", 12), ("1,000,000", 1_000_000)],
)
def test_an_amount_is_read_as_people_write_it(
    browser: Client, user: User, amount: str, added: int
) -> None:
    browser.post("/wallet", {"amount": amount})

    assert state(user)[0] == 1000 + added


def test_one_credit_is_no_credits(browser: Client) -> None:
    page = browser.post("/wallet", {"amount": "1"}, follow=True)

    assert "1 credit added." in page.content.decode()


@pytest.mark.parametrize(
    ("required", "available", "sentence"),
    [
        (1, 0, "1 credit is needed and 0 are available."),
        (2, 1, "2 credits are needed and 1 is available."),
        (1000, 999, "1000 credits are needed and 999 are available."),
    ],
)
def test_a_sentence_about_too_few_credits_is_grammatical(
    required: int, available: int, sentence: str
) -> None:
    error = InsufficientCredits(required=required, available=available)

    assert error.detail == sentence


@pytest.mark.parametrize("amount", ["1,000", "1.000"])
def test_an_amount_that_may_be_thousands_is_asked_about(
    browser: Client, user: User, amount: str
) -> None:
    response = browser.post("/wallet", {"amount": amount})

    assert "1000 if you mean that" in amount_error(response)
    assert f'value="{amount}"' in response.content.decode()
    assert 'inputmode="numeric"' in response.content.decode()
    assert state(user) == (1000, 0, 1)


@pytest.mark.parametrize(
    "amount",
    [
        "",
        " ",
        "0",
        "-1",
        "1000001",
        "9223372036854775808",
        "1" + "0" * 30,
        "9" * 5000,
        "1.5",
        "1e3",
        "0x10",
        "ten",
        "NaN",
        "inf",
        "true",
        "1\x00",
        "<script>",
    ],
)
def test_a_wrong_amount_is_refused_at_the_field(browser: Client, user: User, amount: str) -> None:
    response = browser.post("/wallet", {"amount": amount})

    assert response.status_code == 422
    assert amount_error(response)
    assert state(user) == (1000, 0, 1)


def test_a_missing_amount_is_refused_at_the_field(browser: Client, user: User) -> None:
    response = browser.post("/wallet", {})

    assert (response.status_code, amount_error(response)) == (422, "This field is required.")
    assert state(user) == (1000, 0, 1)


def test_a_top_up_beyond_the_ceiling_is_refused_at_the_field(browser: Client, user: User) -> None:
    set_available(user_id=user.pk, new_amount=CEILING)

    response = browser.post("/wallet", {"amount": "1"})

    assert response.status_code == 422
    assert "1,000,000,000" in amount_error(response)
    assert state(user) == (CEILING, 0, 2)


def test_a_refused_amount_is_summed_up_on_top_of_the_page(browser: Client) -> None:
    page = browser.post("/wallet", {"amount": "0"}).content.decode()

    assert "That did not work" in page
    assert '<a href="#id_amount">' in page
    assert re.search(r"<title>Error:\s+Wallet", page)


def test_a_form_from_another_site_adds_nothing(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)

    response = client.post("/wallet", {"amount": "250"})

    assert response.status_code == 403
    assert state(user) == (1000, 0, 1)


def test_extra_fields_change_no_other_account(
    browser: Client, make_user: Callable[..., User]
) -> None:
    other = make_user("bob@example.com", credit=0)

    browser.post("/wallet", {"amount": "250", "user": str(other.pk), "user_id": str(other.pk)})

    assert CreditAccount.objects.get(pk=other.pk).balance == 0


def test_the_wallet_asks_a_stranger_to_sign_in() -> None:
    response = Client().get("/wallet")

    assert response.status_code == 302
    assert response["Location"] == "/account/sign-in?next=/wallet"


def test_a_strangers_top_up_asks_to_sign_in_and_adds_nothing() -> None:
    response = Client().post("/wallet", {"amount": "250"})

    assert response.status_code == 403
    assert "You are not signed in, so nothing was done." in text(response)
    assert not LedgerEntry.objects.exists()


def test_the_wallet_shows_what_is_available_and_what_is_held(
    browser: Client, user: User, predictor: Predictor
) -> None:
    request_prediction(user=user, predictor=predictor, data={"brand": "bmw"})

    page = text(browser.get("/wallet"))

    assert f"Available {1000 - predictor.price} credits" in page
    assert f"You have 1,000 credits . Of these {predictor.price} credits are set aside" in page


def test_a_hold_is_no_movement(browser: Client, user: User, predictor: Predictor) -> None:
    request_prediction(user=user, predictor=predictor, data={"brand": "bmw"})

    page = browser.get("/wallet")

    assert [entry.kind for entry in page.context["page"].rows] == ["top_up"]


def test_a_charge_is_a_movement_that_leads_to_its_prediction(
    browser: Client, user: User, predictor: Predictor
) -> None:
    prediction = request_prediction(user=user, predictor=predictor, data={"brand": "bmw"})
    runner.run_queued(Prediction, prediction.version_id)

    page = browser.get("/wallet").content.decode()

    assert f'href="/predictions/{prediction.pk}"' in page
    assert f"\N{MINUS SIGN}{predictor.price}" in page


def test_movements_are_shown_newest_first(browser: Client) -> None:
    for amount in (11, 22, 33):
        browser.post("/wallet", {"amount": str(amount)})

    page = browser.get("/wallet")

    assert [entry.balance_change for entry in page.context["page"].rows] == [33, 22, 11, 1000]


def test_the_movements_of_others_are_not_shown(
    browser: Client, make_user: Callable[..., User]
) -> None:
    make_user("bob@example.com", credit=777)

    page = browser.get("/wallet")

    assert [entry.balance_change for entry in page.context["page"].rows] == [1000]


def test_older_movements_are_on_further_pages(browser: Client, user: User) -> None:
    for amount in range(1, 60):
        services.top_up(user_id=user.pk, amount=amount)
    pages = [browser.get("/wallet").context["page"]]

    while pages[-1].next:
        pages.append(browser.get("/wallet", {"cursor": pages[-1].next}).context["page"])
    back = browser.get("/wallet", {"cursor": pages[-1].previous}).context["page"]

    changes = [entry.balance_change for page in pages for entry in page.rows]
    assert changes == [*range(59, 0, -1), 1000]
    assert [len(page.rows) for page in pages] == [25, 25, 10]
    assert back.rows == pages[1].rows


@pytest.mark.parametrize("cursor", ["0", "-1", "abc", "1e9", "a.b", ""])
def test_a_cursor_that_leads_nowhere_still_shows_movements(browser: Client, cursor: str) -> None:
    response = browser.get("/wallet", {"cursor": cursor})

    assert response.status_code == 200
    assert len(response.context["page"].rows) == 1


def test_a_reason_is_shown_as_text_and_never_as_markup(browser: Client, user: User) -> None:
    LedgerEntry.objects.create(
        account_id=user.pk,
        kind="adjustment",
        balance_change=1,
        held_change=0,
        balance_after=1001,
        held_after=0,
        reason="<b>=HYPERLINK</b>",
    )

    page = browser.get("/wallet").content.decode()

    assert "&lt;b&gt;=HYPERLINK&lt;/b&gt;" in page

"""A form whose session or token has ended comes back as it was typed, and nothing is done."""

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from accounts.browsers.models import BrowserSession
from accounts.models import User
from carprice.pages import kept_forms
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.fixtures import PASSWORD
from testing.kept_forms import (
    KEY,
    SIGN_IN,
    careful,
    sent_in_vain,
    sign_in_with,
    token_of,
    value_of,
)
from testing.pages import account_of, browser_of, form_key, state, typed, words

pytestmark = pytest.mark.django_db

ESTIMATE = "/estimate/random_forest"
NOTHING_DONE = "so nothing was done"
PATHS = ["/account/sign-up", "/account/sign-in", "/wallet", ESTIMATE]


# --- A token that is no longer good ---------------------------------------------------------------


def test_after_signing_in_in_another_tab_the_form_is_as_it_was_typed(
    user: User, predictor: Predictor
) -> None:
    browser = careful()
    browser.get("/account/sign-in")
    old = browser.cookies["csrftoken"].value
    sign_in_with(browser, browser.get("/account/sign-in"))
    form = typed(predictor, horsepower="177") | {"csrfmiddlewaretoken": old, "save": "1"}
    before = state()

    page = browser.post(ESTIMATE, form)

    assert page.status_code == 403
    assert NOTHING_DONE in words(page)
    assert value_of(page, "horsepower") == "177"
    assert state() == before
    fresh = value_of(page, "csrfmiddlewaretoken") or ""
    assert browser.post(ESTIMATE, {**form, "csrfmiddlewaretoken": fresh}).status_code == 302
    assert Prediction.objects.get().data["horsepower"] == 177


def test_the_form_keeps_its_key_so_that_it_is_done_once_in_all(user: User) -> None:
    browser = careful(user)
    form = {"amount": "5", "form_key": KEY, "csrfmiddlewaretoken": token_of(browser, "/wallet")}
    browser.post("/wallet", form)

    page = browser.post("/wallet", {**form, "csrfmiddlewaretoken": "old"})
    fresh = value_of(page, "csrfmiddlewaretoken") or ""
    again = browser.post("/wallet", {**form, "csrfmiddlewaretoken": fresh}, follow=True)

    assert form_key(page) == KEY
    assert "the 5 credits were added once" in words(again)
    assert account_of(user) == (1005, 0)


@pytest.mark.parametrize("key", ["x", "", "\x00"])
def test_a_key_that_no_form_has_is_replaced(user: User, predictor: Predictor, key: str) -> None:
    page = careful(user).post(ESTIMATE, typed(predictor) | {"form_key": key})

    assert (page.status_code, len(form_key(page))) == (403, len(KEY))


@pytest.mark.parametrize("path", PATHS)
def test_without_cookies_the_form_says_that_they_are_needed(
    user: User, predictor: Predictor, path: str
) -> None:
    before = state()

    page = Client(enforce_csrf_checks=True).post(
        path, typed(predictor) | {"name": "Ada", "email": "new@example.com", "amount": "250"}
    )

    assert page.status_code == 403
    assert "Your browser sent no cookies, and signing in needs them" in words(page)
    assert state() == before
    assert User.objects.count() == 1


def test_a_form_of_the_sign_up_page_comes_back_but_not_its_password() -> None:
    page = careful().post("/account/sign-up", {"name": "Ada", "email": "ada@x.org", **SIGN_IN})

    assert value_of(page, "name") == "Ada"
    assert value_of(page, "email") == "ada@example.com"
    assert PASSWORD not in page.content.decode()


def test_whoever_has_signed_in_in_another_tab_goes_on(user: User) -> None:
    page = careful(user).post("/account/sign-in", {**SIGN_IN, "next": "/wallet"})

    assert (page.status_code, page["Location"]) == (302, "/wallet")


def test_a_draft_comes_back_as_it_was_typed_and_stays_as_it_was(
    user: User, predictor: Predictor, make_draft: Any
) -> None:
    draft = make_draft({"horsepower": 120})
    before = state()

    for button in ({}, {"save": "1"}):
        page = careful(user).post(
            f"/predictions/{draft.pk}", typed(predictor, horsepower="1x") | button
        )

        assert page.status_code == 403
        assert value_of(page, "horsepower") == "1x"
    assert state() == before


def test_a_draft_that_was_run_in_another_tab_says_so(
    user: User, predictor: Predictor, queued: Prediction
) -> None:
    page = careful(user).post(f"/predictions/{queued.pk}", typed(predictor))

    assert (page.status_code, page["Location"]) == (302, f"/predictions/{queued.pk}")


def test_a_what_if_comes_back_and_asks_nothing(
    user: User, predictor: Predictor, finished: Prediction
) -> None:
    page = careful(user).post(
        f"/predictions/{finished.pk}/what-if", typed(predictor, horsepower="200")
    )

    assert (page.status_code, value_of(page, "horsepower")) == (403, "200")
    assert not finished.what_ifs.exists()


def test_anothers_draft_is_not_there_whatever_the_token(
    stranger: Client, make_draft: Any, predictor: Predictor
) -> None:
    draft = make_draft({"horsepower": 120})
    stranger.handler.enforce_csrf_checks = True

    assert stranger.post(f"/predictions/{draft.pk}", typed(predictor)).status_code == 404


@pytest.mark.parametrize("path", ["/account/sign-out", "/predictions/{}/cancel"])
def test_a_button_that_was_too_old_leads_back_to_its_page(
    user: User, queued: Prediction, path: str
) -> None:
    browser = careful(user)
    page_of_button = f"/predictions/{queued.pk}"
    before = state()

    page = browser.post(
        path.format(queued.pk),
        {"csrfmiddlewaretoken": "old"},
        headers={"Accept": "text/html", "Referer": f"http://testserver{page_of_button}?a=1"},
    )

    assert page.status_code == 403
    assert NOTHING_DONE in words(page)
    assert f'href="{page_of_button}"' in page.content.decode()
    assert state() == before
    assert browser.get("/wallet").status_code == 200


@pytest.mark.parametrize(
    "referer",
    ["http://evil.example/", "http://testserver//evil.example", "javascript:x", "http://["],
)
def test_the_way_back_stays_on_this_site(user: User, referer: str) -> None:
    page = careful(user).post(
        "/account/sign-out", headers={"Accept": "text/html", "Referer": referer}
    )

    assert page.status_code == 403
    assert "Open the page again" not in words(page)
    assert "evil" not in page.content.decode()


def test_the_admin_says_that_a_page_was_too_old(make_user: Any, user: User) -> None:
    operator = make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)
    before = state()

    page = careful(operator).post(
        f"/admin/billing/creditaccount/{user.pk}/correct/",
        {"change": "5", "reason": "A gift"},
        headers={"Accept": "text/html"},
    )

    assert page.status_code == 403
    assert NOTHING_DONE in words(page)
    assert state() == before


@pytest.mark.parametrize("path", [*PATHS, "/account/sign-out"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://testserver", "x"])
def test_nothing_that_another_site_sends_is_shown_or_done(
    user: User, predictor: Predictor, path: str, origin: str
) -> None:
    browser = careful(user)
    token = token_of(browser, "/wallet")
    before = state()

    page = browser.post(
        path,
        typed(predictor, horsepower="177") | {"amount": "177", "csrfmiddlewaretoken": token},
        headers={"Accept": "text/html", "Origin": origin},
    )

    assert page.status_code == 403
    assert "This form was sent from another site, so nothing was done." in words(page)
    assert "177" not in page.content.decode()
    assert state() == before


# --- A session that has ended ---------------------------------------------------------------------


@pytest.fixture
def ended(user: User) -> Client:
    """A browser that still has its cookies, but whose session is gone."""
    browser = careful(user)
    browser.get("/wallet")
    BrowserSession.objects.all().delete()
    return browser


def test_after_signing_in_again_the_form_is_shown_as_it_was_typed(
    ended: Client, user: User, predictor: Predictor
) -> None:
    form = typed(predictor, horsepower="177") | {"form_key": KEY}
    before = state()

    asked = sent_in_vain(ended, ESTIMATE, form)
    back = sign_in_with(ended, asked)
    page = ended.get(back["Location"])

    assert asked.status_code == 403
    assert "the form comes back as you typed it" in words(asked)
    assert back["Location"].startswith(f"{ESTIMATE}?kept=")
    assert page.status_code == 200
    assert value_of(page, "horsepower") == "177"
    assert "Nothing has been done with it yet." in words(page)
    assert form_key(page) == KEY
    assert state() == before


def test_the_form_that_is_shown_does_its_work_once_it_is_sent(ended: Client, user: User) -> None:
    back = sign_in_with(ended, sent_in_vain(ended, "/wallet", {"amount": "177"}))
    page = ended.get(back["Location"])
    before = account_of(user)
    token = value_of(page, "csrfmiddlewaretoken") or ""

    answer = ended.post(back["Location"], {"amount": "177", "csrfmiddlewaretoken": token})

    assert answer["Location"] == "/wallet"
    assert (before, account_of(user)) == ((1000, 0), (1177, 0))
    assert kept_forms.SESSION_KEY not in ended.session
    assert value_of(ended.get(back["Location"]), "amount") == "100"


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [("/wallet", "amount", "many"), (f"{ESTIMATE}?like=x&kept=old", "horsepower", "5-4")],
)
def test_what_is_wrong_comes_back_too(
    ended: Client, predictor: Predictor, path: str, field: str, value: str
) -> None:
    form = typed(predictor) if "estimate" in path else {}

    back = sign_in_with(ended, sent_in_vain(ended, path, form | {field: value}))
    page = ended.get(back["Location"])

    assert value_of(page, field) == value
    assert len(parse_qs(urlsplit(back["Location"]).query)["kept"]) == 1


def test_a_reload_shows_the_form_again(ended: Client, predictor: Predictor) -> None:
    back = sign_in_with(ended, sent_in_vain(ended, ESTIMATE, typed(predictor, horsepower="177")))

    pages = [ended.get(back["Location"]) for _ in range(2)]

    assert [value_of(page, "horsepower") for page in pages] == ["177", "177"]


def test_a_wrong_password_does_not_lose_the_form(ended: Client, predictor: Predictor) -> None:
    asked = sent_in_vain(ended, ESTIMATE, typed(predictor, horsepower="177"))

    refused = sign_in_with(ended, asked, password="wrong")
    back = sign_in_with(ended, refused)

    assert refused.status_code == 422
    assert value_of(ended.get(back["Location"]), "horsepower") == "177"


def test_signing_in_in_another_tab_does_not_lose_it_either(
    ended: Client, user: User, predictor: Predictor
) -> None:
    asked = sent_in_vain(ended, ESTIMATE, typed(predictor, horsepower="177"))
    sign_in_with(ended, ended.get("/account/sign-in"))

    back = sign_in_with(ended, asked)  # with a token from before

    assert value_of(ended.get(back["Location"]), "horsepower") == "177"


def test_without_any_cookie_the_form_is_carried_all_the_same(
    user: User, predictor: Predictor
) -> None:
    browser = careful()

    asked = browser.post(ESTIMATE, typed(predictor, horsepower="177"))
    back = sign_in_with(browser, asked)  # the answer has set a cookie

    assert asked.status_code == 403
    assert value_of(browser.get(back["Location"]), "horsepower") == "177"


def test_a_fields_of_the_same_name_is_none_of_the_sign_in_forms(ended: Client) -> None:
    fields = {"amount": "5", "next": "https://evil.example", "email": "x@y.z", "kept_form": "a=b"}

    asked = sent_in_vain(ended, "/wallet", fields)

    assert value_of(asked, "next") == "/wallet"
    assert value_of(asked, "email") is None
    assert parse_qs(value_of(asked, "kept_form") or "")["amount"] == ["5"]


def test_neither_passwords_nor_tokens_are_carried(ended: Client) -> None:
    asked = sent_in_vain(
        ended, "/wallet", {"amount": "5", "password": PASSWORD, "Password2": "abc"}
    )

    assert value_of(asked, "kept_form") == "amount=5"


def test_what_is_carried_is_shown_as_text(ended: Client, predictor: Predictor) -> None:
    markup = '"><script>alert(1)</script>'

    asked = sent_in_vain(ended, ESTIMATE, typed(predictor, horsepower=markup))
    page = ended.get(sign_in_with(ended, asked)["Location"])

    assert "<script>alert" not in asked.content.decode() + page.content.decode()


@pytest.mark.parametrize("text", ["5" * 20_000, "é" * 10_000, "\N{GRINNING FACE}" * 200_000])
def test_more_than_any_form_holds_is_not_kept(ended: Client, text: str) -> None:
    asked = sent_in_vain(ended, "/wallet", {"amount": text})

    assert "What you typed is too long to be kept" in words(asked)
    assert len(asked.content) < 20_000
    assert sign_in_with(ended, asked)["Location"] == "/wallet"


@pytest.mark.parametrize("fields", ["", "x" * 30_000, "%", "&&&", "a", "a=%ff%00"])
def test_what_nobody_was_asked_to_carry_does_no_harm(user: User, fields: str) -> None:
    browser = Client()

    back = browser.post("/account/sign-in", {**SIGN_IN, "next": "/wallet", "kept_form": fields})

    assert browser.get(back["Location"]).status_code == 200


def test_more_fields_than_any_form_has_are_not_kept(user: User) -> None:
    browser = Client()
    form = {**SIGN_IN, "next": "/wallet", "kept_form": "&".join(["a=1"] * 2_000)}

    back = browser.post("/account/sign-in", form)

    assert back["Location"] == "/wallet"
    assert browser.get("/wallet").status_code == 200
    assert kept_forms.SESSION_KEY not in browser.session


@pytest.mark.parametrize("target", ["", "https://evil.example/", "//evil.example", "/\\evil"])
def test_a_form_is_kept_for_pages_of_this_site_alone(user: User, target: str) -> None:
    browser = Client()

    back = browser.post("/account/sign-in", {**SIGN_IN, "next": target, "kept_form": "amount=5"})

    assert back["Location"] == "/catalogue"
    assert kept_forms.SESSION_KEY not in browser.session


def test_a_kept_form_is_shown_on_its_own_page_alone(ended: Client, predictor: Predictor) -> None:
    back = sign_in_with(ended, sent_in_vain(ended, "/wallet", {"amount": "177"}))
    query = urlsplit(back["Location"]).query

    pages = [ended.get(f"{path}?{query}") for path in (ESTIMATE, "/wallet")]
    other = ended.get("/wallet?kept=another")

    assert ["177" in page.content.decode() for page in [*pages, other]] == [False, True, False]


def test_a_kept_form_is_forgotten_after_an_hour(
    ended: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = sign_in_with(ended, sent_in_vain(ended, "/wallet", {"amount": "177"}))

    shown = ended.get(back["Location"])
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    forgotten = ended.get(back["Location"])

    assert value_of(shown, "amount") == "177"
    assert value_of(forgotten, "amount") == "100"


def test_nobody_else_sees_it(ended: Client, stranger: Client) -> None:
    back = sign_in_with(ended, sent_in_vain(ended, "/wallet", {"amount": "177"}))

    assert value_of(stranger.get(back["Location"]), "amount") == "100"


def test_a_stranger_stores_nothing(predictor: Predictor) -> None:
    Client().post(ESTIMATE, typed(predictor))

    assert not BrowserSession.objects.exists()


def test_a_form_sent_by_a_script_reloads_its_page(predictor: Predictor) -> None:
    response = Client().post(ESTIMATE, typed(predictor), headers={"HX-Request": "true"})

    assert (response.status_code, response["HX-Refresh"], response.content) == (200, "true", b"")


@pytest.mark.parametrize("part", ["cancel", "delete"])
def test_a_button_of_an_ended_session_leads_to_the_page_of_its_prediction(
    queued: Prediction, part: str
) -> None:
    response = Client().post(f"/predictions/{queued.pk}/{part}")

    assert response["Location"] == f"/account/sign-in?next=/predictions/{queued.pk}"
    assert Prediction.objects.get().status == "queued"
    assert browser_of(queued.user).get(f"/predictions/{queued.pk}").status_code == 200

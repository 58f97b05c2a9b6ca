"""The page of a prediction: waiting, cancel, failures and delete."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import claims
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.pages import (
    CAR,
    Failure,
    account_of,
    browser_of,
    fail,
    filled_in,
    form_key,
    state,
    typed,
    words,
)

pytestmark = pytest.mark.django_db
NOBODYS = "00000000-0000-4000-8000-000000000000"


def fragment(browser: Client, row: Prediction) -> Any:
    """What a page asks for each second."""
    return browser.get(f"/predictions/{row.pk}/status", headers={"HX-Request": "true"})


# --- Waiting, and cancel --------------------------------------------------------------------------


def test_a_waiting_prediction_tells_its_place_in_line(
    browser: Client, user: User, predictor: Predictor
) -> None:
    rows = [request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(3)]

    places = [words(browser.get(f"/predictions/{row.pk}")) for row in rows]

    assert "Waiting for its turn. It is next in line." in places[0]
    assert "Waiting for its turn. It is 2nd in line." in places[1]
    assert "Waiting for its turn. It is 3rd in line." in places[2]


def test_the_place_in_line_is_kept_up_to_date(
    browser: Client, user: User, predictor: Predictor
) -> None:
    first, second = (request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(2))
    before = words(fragment(browser, second))

    services.cancel(user=user, prediction_id=first.pk)

    assert "2nd in line" in before
    assert "next in line" in words(fragment(browser, second))


def test_a_queued_prediction_can_be_canceled(
    browser: Client, user: User, queued: Prediction
) -> None:
    assert (
        f'action="/predictions/{queued.pk}/cancel"'
        in browser.get(f"/predictions/{queued.pk}").content.decode()
    )

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert response.redirect_chain == [(f"/predictions/{queued.pk}", 302)]
    assert "What was held for it is available again." in words(response)
    assert account_of(user) == (1000, 0)
    assert not list(breaches())


def test_a_second_click_on_cancel_says_the_same(browser: Client, queued: Prediction) -> None:
    browser.post(f"/predictions/{queued.pk}/cancel")

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert response.status_code == 200
    assert "What was held for it is available again." in words(response)


def test_what_has_started_says_so_kindly(
    browser: Client, user: User, predictor: Predictor, queued: Prediction
) -> None:
    assert claims.claim_first_attempts(Prediction, queued.version_id)

    response = browser.post(f"/predictions/{queued.pk}/cancel", follow=True)

    assert (response.status_code, response.context["prediction"].status) == (200, "running")
    assert "It had started already, so it could not be canceled." in words(response)
    assert account_of(user) == (1000, predictor.price)


def test_what_has_ended_says_so_kindly(browser: Client, finished: Prediction) -> None:
    response = browser.post(f"/predictions/{finished.pk}/cancel", follow=True)

    assert response.status_code == 200
    assert "It had ended already" in words(response)


def test_only_what_is_queued_has_a_cancel_button(browser: Client, finished: Prediction) -> None:
    page = browser.get(f"/predictions/{finished.pk}").content.decode()

    assert f"/predictions/{finished.pk}/cancel" not in page


def test_the_cancel_button_leaves_when_the_prediction_starts(
    browser: Client, queued: Prediction
) -> None:
    waiting = fragment(browser, queued).content.decode()
    assert claims.claim_first_attempts(Prediction, queued.version_id)

    running = fragment(browser, queued).content.decode()

    assert 'id="actions"' not in waiting  # a button replaced each second can hardly be pressed
    assert '<div class="actions" id="actions" hx-swap-oob="true">' in running
    assert "/cancel" not in running


def test_a_canceled_draft_of_any_shape_is_shown(
    browser: Client, user: User, make_draft: Callable[..., Prediction]
) -> None:
    rows = [make_draft(data) for data in ({"horsepower": [1]}, [1], {**CAR, "x": 1})]
    for row in rows:
        services.cancel(user=user, prediction_id=row.pk)

    pages = [browser.get(f"/predictions/{row.pk}") for row in rows]

    assert [page.status_code for page in pages] == [200] * 3
    assert "BMW" in words(pages[2])
    assert words(browser.get("/predictions")).count("Canceled") == 1 + len(rows)  # and the filter


# --- Failures -------------------------------------------------------------------------------------


def test_every_failure_says_what_happened_and_what_to_do(
    browser: Client, user: User, predictor: Predictor
) -> None:
    outcomes = set()
    for failure in Failure.values:
        row = request_prediction(user=user, predictor=predictor, data=CAR)
        fail(row, failure)
        page = browser.get(f"/predictions/{row.pk}")
        assert "You were not charged." in words(page)
        assert failure not in words(page)
        assert f'href="/estimate/random_forest?like={row.pk}"' in page.content.decode()
        outcome = re.search(r'class="outcome">(.*?)</p>\s*<p>\s*(.*?)[.,;]', page.content.decode())
        assert outcome
        outcomes.add(outcome.groups())

    assert len(outcomes) == len(Failure.values)


def test_the_same_inputs_are_tried_again_from_a_filled_in_form(
    browser: Client, predictor: Predictor, queued: Prediction
) -> None:
    fail(queued, Failure.DEADLINE_EXCEEDED)

    form = browser.get(f"/estimate/random_forest?like={queued.pk}").context["form"]

    assert filled_in(form) == {"brand": "BMW", "horsepower": "121"}


@pytest.mark.parametrize("like", [NOBODYS, "1", "\x00", "x" * 3000])
def test_a_form_like_nothing_is_a_404(browser: Client, predictor: Predictor, like: str) -> None:
    assert browser.get("/estimate/random_forest", {"like": like}).status_code == 404


def test_a_form_like_anothers_prediction_is_a_404(stranger: Client, queued: Prediction) -> None:
    assert stranger.get(f"/estimate/random_forest?like={queued.pk}").status_code == 404


# --- Delete ---------------------------------------------------------------------------------------


def test_deleting_asks_first_and_says_what_stays(
    browser: Client, predictor: Predictor, finished: Prediction
) -> None:
    before = state()

    link = f'href="/predictions/{finished.pk}/delete"'
    assert link in browser.get(f"/predictions/{finished.pk}").content.decode()
    page = words(browser.get(f"/predictions/{finished.pk}/delete"))

    assert "inputs and its result are erased for good" in page
    assert f"The charge of {predictor.price} credits stays" in page
    assert state() == before


def test_a_deleted_prediction_is_erased_and_its_charge_stays(
    browser: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    response = browser.post(f"/predictions/{finished.pk}/delete", follow=True)

    assert response.redirect_chain == [("/predictions", 302)]
    assert "Deleted." in words(response)
    assert str(finished.pk) not in response.content.decode()
    finished.refresh_from_db()
    assert (finished.data, finished.value) == ({}, None)
    assert account_of(user) == (1000 - predictor.price, 0)
    assert not list(breaches())


def test_the_link_in_the_wallet_tells_what_became_of_a_deleted_prediction(
    browser: Client, stranger: Client, finished: Prediction
) -> None:
    browser.post(f"/predictions/{finished.pk}/delete")

    own = browser.get(f"/predictions/{finished.pk}")
    others = stranger.get(f"/predictions/{finished.pk}", HTTP_ACCEPT="text/html")

    assert (own.status_code, others.status_code) == (404, 404)
    assert "You deleted this prediction" in words(own)
    assert (
        others.content == stranger.get(f"/predictions/{NOBODYS}", HTTP_ACCEPT="text/html").content
    )


def test_a_draft_is_deleted(browser: Client, make_draft: Callable[..., Prediction]) -> None:
    draft = make_draft(CAR)

    page = words(browser.get(f"/predictions/{draft.pk}/delete"))
    response = browser.post(f"/predictions/{draft.pk}/delete", follow=True)

    assert "Delete this draft?" in page
    assert "Deleted." in words(response)
    assert not Prediction.objects.exists()


def test_a_second_click_on_delete_says_the_same(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    path = f"/predictions/{make_draft(CAR).pk}/delete"
    form = {"form_key": form_key(browser.get(path))}
    browser.post(path, form)

    response = browser.post(path, form, follow=True)

    assert response.redirect_chain == [("/predictions", 302)]
    assert "Deleted." in words(response)


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_has_not_ended_is_not_deleted(
    browser: Client, queued: Prediction, method: str
) -> None:
    before = state()

    response = getattr(browser, method)(f"/predictions/{queued.pk}/delete", follow=True)

    assert response.redirect_chain == [(f"/predictions/{queued.pk}", 302)]
    assert "It can be deleted once it has ended." in words(response)
    assert state() == before


# --- Who may, and how -----------------------------------------------------------------------------


POSTS = ["", "/cancel", "/delete"]


@pytest.mark.parametrize("part", POSTS)
@pytest.mark.parametrize("key", [NOBODYS, "1", "%00", "..%2Fx", "x" * 3000, "%ED%A0%80"])
def test_an_odd_id_is_a_404_page(
    browser: Client, predictor: Predictor, key: str, part: str
) -> None:
    response = browser.post(f"/predictions/{key}{part}", HTTP_ACCEPT="text/html")

    assert response.status_code == 404
    assert "Error 404" in response.content.decode()


@pytest.mark.parametrize("part", POSTS)
def test_the_draft_of_another_is_not_there(
    stranger: Client, predictor: Predictor, make_draft: Callable[..., Prediction], part: str
) -> None:
    draft = make_draft(CAR)
    before = state()

    response = stranger.post(f"/predictions/{draft.pk}{part}", typed(predictor))

    assert response.status_code == 404
    assert response.content == stranger.post(f"/predictions/{NOBODYS}{part}").content
    assert state() == before


@pytest.mark.parametrize("part", POSTS)
def test_a_post_from_another_site_is_refused(
    user: User, predictor: Predictor, make_draft: Callable[..., Prediction], part: str
) -> None:
    draft = make_draft(CAR)
    before = state()

    response = browser_of(user, enforce_csrf_checks=True).post(
        f"/predictions/{draft.pk}{part}", typed(predictor)
    )

    assert response.status_code == 403
    assert state() == before


@pytest.mark.parametrize(
    ("method", "part"),
    [
        *[(method, part) for method in ("put", "patch", "delete", "trace") for part in POSTS],
        ("get", "/cancel"),
        ("post", "/status"),
        ("delete", "/status"),
    ],
)
def test_a_wrong_method_is_a_405(
    browser: Client, finished: Prediction, method: str, part: str
) -> None:
    before = state()

    response = getattr(browser, method)(f"/predictions/{finished.pk}{part}")

    assert response.status_code == 405
    assert "Allow" in response.headers
    assert state() == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/predictions"),
        ("delete", "/predictions"),
        ("put", "/estimate/random_forest"),
        ("delete", "/estimate/random_forest"),
        ("put", "/wallet"),
    ],
)
def test_a_wrong_method_on_a_list_or_a_form_is_a_405(
    browser: Client, predictor: Predictor, method: str, path: str
) -> None:
    assert getattr(browser, method)(path).status_code == 405


@pytest.mark.parametrize("part", ["/cancel", "/delete"])
def test_who_signs_in_first_is_led_to_the_prediction(queued: Prediction, part: str) -> None:
    before = state()

    response = Client().post(f"/predictions/{queued.pk}{part}")

    assert response.status_code == 302
    assert response["Location"] == f"/account/sign-in?next=/predictions/{queued.pk}"
    assert state() == before

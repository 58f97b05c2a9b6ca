"""A visitor's trial at its edges; what it is for is in test_visitors."""

from collections.abc import Iterator
from threading import BoundedSemaphore
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import LedgerEntry
from carprice.http import throttling
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import waiting
from predictions.execution import claims, runner
from predictions.models import Prediction, WhatIf
from testing.pages import account_of, error_at, filled_in, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
CASE = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
TRIAL = {**CASE, "trial": "1"}


@pytest.fixture
def worker(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who scores while a page waits."""
    version_id = predictor.current_version_id
    assert version_id
    monkeypatch.setattr(waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, version_id))


@pytest.fixture
def two_an_hour(settings: Any) -> Iterator[None]:
    settings.THROTTLES = {**settings.THROTTLES, "trial": "2/hour"}
    throttling._limit.cache_clear()
    yield
    throttling._limit.cache_clear()


def stored() -> list[int]:
    kinds: list[Any] = [WhatIf, Prediction, LedgerEntry, IdempotencyKey]
    return [kind.objects.count() for kind in kinds]


@pytest.mark.usefixtures("worker")
def test_a_trial_shows_the_value_and_what_it_was_made_of_and_marks_it_as_a_trial() -> None:
    page = Client().post(PAGE, TRIAL)

    row = page.context["prediction"]
    text = words(page)
    assert row.value > 0
    assert row._state.adding  # it was never stored
    assert row.queued_at <= timezone.now()
    assert {item.feature.name for item in page.context["details"].inputs} == CASE.keys()
    assert f"{row.value:,.0f} USD" in text
    assert '<span class="tag">Trial</span>' in page.content.decode()
    assert page["Cache-Control"] == "private, no-store"


@pytest.mark.usefixtures("worker")
def test_whether_a_browser_had_its_trial_is_in_a_cookie_that_no_script_reads() -> None:
    visitor = Client()

    page = visitor.post(PAGE, TRIAL)
    form = visitor.get(PAGE)

    cookie = page.cookies["tried"]
    assert (cookie.value, cookie["httponly"], cookie["samesite"]) == ("1", True, "Lax")
    assert cookie["max-age"] == 30 * 24 * 3600
    assert "Try it once, free" not in words(form)
    assert "sessionid" not in visitor.cookies


def test_the_trial_is_of_the_predictor_that_was_chosen(
    predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = predictors["linear_regression"]
    version_id = chosen.current_version_id
    assert version_id
    monkeypatch.setattr(waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, version_id))

    page = Client().post(PAGE, {**TRIAL, "model": chosen.name})

    assert page.context["prediction"].predictor == chosen
    assert stored() == [0, 0, 0, 0]


@pytest.mark.usefixtures("worker", "two_an_hour")
@pytest.mark.parametrize(
    "wrong", [{"horsepower": "12o"}, {"brand": "trabant"}, dict.fromkeys(CASE, "")], ids=str
)
def test_what_is_refused_counts_against_no_limit(wrong: dict[str, str]) -> None:
    visitor = Client()

    refused = [visitor.post(PAGE, {**TRIAL, **wrong}) for _ in range(4)]
    tried = visitor.post(PAGE, TRIAL)

    assert [answer.status_code for answer in refused] == [422] * 4
    assert all(error_at(refused[0], name) for name, text in wrong.items() if text)
    assert "tried" not in refused[-1].cookies
    assert tried.status_code == 200


@pytest.mark.usefixtures("worker", "two_an_hour")
def test_a_second_trial_of_a_browser_counts_against_nobodys_limit() -> None:
    visitor, neighbor = Client(), Client()

    answers = [visitor.post(PAGE, TRIAL) for _ in range(4)] + [neighbor.post(PAGE, TRIAL)]

    assert [answer.status_code for answer in answers] == [200, 422, 422, 422, 200]


@pytest.mark.usefixtures("worker", "two_an_hour")
def test_another_address_has_a_limit_of_its_own() -> None:
    addresses = ["192.0.2.1"] * 3 + ["198.51.100.7"]

    answers = [Client(REMOTE_ADDR=address).post(PAGE, TRIAL) for address in addresses]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 200]
    assert int(answers[2]["Retry-After"]) > 0
    assert filled_in(answers[2].context["form"]) == CASE


def test_where_no_place_to_wait_is_free_a_trial_is_none(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_wait_slots", BoundedSemaphore(1))
    visitor = Client()

    with waiting.wait_slot():
        answer = visitor.post(PAGE, TRIAL)

    assert answer.status_code == 429
    assert "Too many requests are waiting for an answer." in words(answer)
    assert "tried" not in visitor.cookies
    assert stored() == [0, 0, 0, 0]


def test_who_got_no_answer_may_try_again_and_a_late_worker_stores_nothing(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    version_id = predictor.current_version_id
    assert version_id
    taken: list[Any] = []
    monkeypatch.setattr(
        waiting,
        "until_ended",
        lambda *_: taken.append(claims.claim_first_attempts(WhatIf, version_id)),
    )
    visitor = Client()

    late = visitor.post(PAGE, TRIAL)
    runner.run_queued(WhatIf, version_id)
    monkeypatch.setattr(waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, version_id))
    again = visitor.post(PAGE, TRIAL)

    assert taken[0]
    assert (late.status_code, again.status_code) == (422, 200)
    assert filled_in(late.context["form"]) == CASE
    assert stored() == [0, 0, 0, 0]


@pytest.mark.usefixtures("worker")
def test_after_the_trial_its_form_is_carried_into_a_new_account() -> None:
    visitor = Client()
    result = visitor.post(PAGE, TRIAL)
    carried = {name: result.context[name] for name in ("next", "kept_form")}
    account = {"name": "Bob", "email": "bob@example.com", "password": "an unusual sentence"}

    asked = visitor.post("/account/sign-up", {**carried, "instead": "1"})
    back = visitor.post(
        "/account/sign-up",
        {**account, "next": asked.context["next"], "kept_form": asked.context["kept_form"]},
    )
    form = visitor.get(back["Location"])

    assert filled_in(form.context["form"]) == CASE
    assert Prediction.objects.count() == 0  # it is shown, and not bought


def test_a_visitor_buys_and_saves_nothing(predictor: Predictor) -> None:
    """Not even with the button that visitors may press beside it."""
    asked = [Client().post(PAGE, {**CASE, button: "1"}) for button in ("buy", "save", "top_up")]
    checked = [
        Client().post(PAGE, {**CASE, "check": "1", button: "1"}) for button in ("save", "top_up")
    ]

    assert [answer.status_code for answer in asked] == [403] * 3
    assert {answer.status_code for answer in checked} <= {200, 403}
    assert stored() == [0, 0, 0, 0]


@pytest.mark.usefixtures("worker")
def test_a_trial_that_was_begun_before_signing_in_buys_nothing(user: Any, browser: Client) -> None:
    page = browser.post(PAGE, TRIAL)

    assert page.status_code == 200
    assert not Prediction.objects.exists()
    assert account_of(user) == (1000, 0)

"""What strangers may see: one trial of their own, and results that were shared with them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import User
from billing.models import LedgerEntry
from carprice.http import throttling
from mlmodels.models import Predictor
from predictions import services, sharing, waiting, what_ifs
from predictions.execution import runner
from predictions.models import Prediction, ShareLink, WhatIf
from testing.pages import error_at, filled_in, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
CASE = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
SECONDS = timedelta(seconds=1)


@pytest.fixture
def worker(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who scores while a page waits."""
    version_id = predictor.current_version_id
    assert version_id
    monkeypatch.setattr(waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, version_id))


def nothing_is_stored() -> bool:
    return not (
        WhatIf.objects.exists() or Prediction.objects.exists() or LedgerEntry.objects.exists()
    )


# --- A trial -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("worker")
def test_a_visitor_tries_once_and_nothing_is_stored() -> None:
    visitor = Client()

    form = visitor.get(PAGE)
    result = visitor.post(PAGE, {**CASE, "trial": "1"})
    again = visitor.post(PAGE, {**CASE, "trial": "1"})

    assert "Try it once, free" in words(form)
    assert result.status_code == 200
    assert "USD" in words(result)
    assert "This is stored nowhere" in words(result)
    assert "Why this figure" in words(result)
    assert again.status_code == 422
    assert "You have had your trial." in words(again)
    assert filled_in(again.context["form"]) == CASE
    assert nothing_is_stored()


@pytest.mark.usefixtures("worker")
def test_what_cannot_be_read_is_no_trial() -> None:
    visitor = Client()

    refused = visitor.post(PAGE, {**CASE, "horsepower": "12o", "trial": "1"})
    tried = visitor.post(PAGE, {**CASE, "trial": "1"})

    assert refused.status_code == 422
    assert error_at(refused, "horsepower")
    assert tried.status_code == 200


@pytest.mark.usefixtures("worker")
def test_trials_are_limited_by_address(settings: Any) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "trial": "2/hour"}
    throttling._limit.cache_clear()

    answers = [Client().post(PAGE, {**CASE, "trial": "1"}) for _ in range(3)]
    throttling._limit.cache_clear()

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Too many requests" in words(answers[2])


def test_without_a_worker_a_trial_says_so_and_leaves_nothing(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "until_ended", lambda *_: None)

    answer = Client().post(PAGE, {**CASE, "trial": "1"})

    assert answer.status_code == 422
    assert "There was no answer within 10 seconds; try again." in words(answer)
    assert nothing_is_stored()


def test_what_a_crash_left_of_a_trial_is_purged_after_a_minute(predictor: Predictor) -> None:
    version_id = predictor.current_version_id
    assert version_id
    for age in (30 * SECONDS, 90 * SECONDS):
        WhatIf.objects.create(
            version_id=version_id,
            status="queued",
            data={},
            queue_rank=0,
            queued_at=Now(),
            deadline_at=Now() + 10 * SECONDS,
            created_at=Now() - age,
        )

    what_ifs.purge_unanswered()

    assert WhatIf.objects.count() == 1


@pytest.mark.usefixtures("worker")
def test_a_form_comes_along_into_a_new_account(client: Client) -> None:
    carried = client.post(PAGE, {**CASE, "sign_up": "1"})
    fields = {"name": "Bob", "email": "bob@example.com", "password": "an unusual sentence"}
    kept = {name: carried.context[name] for name in ("next", "kept_form")}

    back = client.post("/account/sign-up", {**fields, **kept})
    form = client.get(back["Location"])

    assert "What you typed is kept" in words(carried)
    assert back["Location"].startswith(PAGE)
    assert filled_in(form.context["form"]) == CASE


# --- What was shared -----------------------------------------------------------------------------


def share(row: Prediction, user: User) -> str:
    return f"/shared/{sharing.share(user=user, prediction_id=row.pk).token}"


def test_whoever_has_the_link_sees_the_result_and_not_whose_it_is(
    user: User, finished: Prediction
) -> None:
    services.name_prediction(user=user, prediction_id=finished.pk, label="My old flame")

    page = Client().get(share(finished, user))

    assert page.status_code == 200
    assert page["X-Robots-Tag"] == "noindex"
    text = words(page)
    assert "BMW, 121 hp" in text
    assert "USD" in text
    for secret in (user.email, user.name, "My old flame", str(finished.price), str(finished.pk)):
        assert not secret or f" {secret} " not in text


def test_a_prediction_has_one_link_of_its_owners(
    browser: Client, stranger: Client, user: User, finished: Prediction
) -> None:
    path = f"/predictions/{finished.pk}"

    first, second = (browser.post(f"{path}/share") for _ in range(2))
    others = [stranger.post(f"{path}/{verb}") for verb in ("share", "revoke", "name")]

    link = ShareLink.objects.get()
    assert first["Location"] == second["Location"] == f"{path}#share"
    assert f"/shared/{link.token}" in browser.get(path).content.decode()
    assert len(link.token) >= 43  # 32 bytes in base64
    assert [answer.status_code for answer in others] == [404] * 3


def test_what_has_not_finished_cannot_be_shared(browser: Client, queued: Prediction) -> None:
    answer = browser.post(f"/predictions/{queued.pk}/share", follow=True)

    assert "Only what has finished can be shared." in words(answer)
    assert not ShareLink.objects.exists()


@pytest.mark.parametrize("end", ["revoked", "expired", "erased"])
def test_a_link_ends(browser: Client, user: User, finished: Prediction, end: str) -> None:
    path = share(finished, user)
    assert Client().get(path).status_code == 200

    if end == "revoked":
        browser.post(f"/predictions/{finished.pk}/revoke")
    elif end == "expired":
        ShareLink.objects.update(expires_at=Now() - SECONDS)
    else:
        services.erase(user=user, prediction_id=finished.pk)

    assert Client().get(path).status_code == 404
    if end == "erased":
        assert not ShareLink.objects.exists()


def test_a_new_link_takes_the_place_of_an_expired_one(user: User, finished: Prediction) -> None:
    old = share(finished, user)
    ShareLink.objects.update(expires_at=Now() - SECONDS)

    new = share(finished, user)

    assert new != old
    assert [Client().get(path).status_code for path in (old, new)] == [404, 200]


@pytest.mark.parametrize("token", ["x", "%00", "é", "x" * 3000])
def test_a_link_that_nobody_made_is_404(token: str) -> None:
    assert Client().get(f"/shared/{token}").status_code == 404


def test_a_trial_is_asked_for_no_prediction(make_user: Callable[..., User]) -> None:
    """A visitor cannot name somebody's prediction to begin like it."""
    key = UUID(int=1)

    answer = Client().get(f"{PAGE}?like={key}")

    assert answer.status_code in (302, 404)

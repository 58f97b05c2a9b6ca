"""What a shared page tells, to whom, and for how long; test_visitors has how a link begins."""

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services, sharing
from predictions.execution import runner
from predictions.models import Prediction, ShareLink
from testing.pages import CAR, Failure, fail, words

pytestmark = pytest.mark.django_db

PRICE = 777_123  # credits: nothing else on a page is written so


@pytest.fixture
def explained(user: User, predictor: Predictor) -> Prediction:
    """A finished one with reasons, known cases and a label of its user's own."""
    row = services.request_prediction(user=user, predictor=predictor, data=CAR, explain=True)
    runner.run_queued(Prediction, row.version_id)
    services.name_prediction(user=user, prediction_id=row.pk, label="Grandma's_secret")
    Prediction.objects.filter(pk=row.pk).update(price=PRICE)
    return Prediction.objects.get(pk=row.pk)


def address_of(row: Prediction) -> str:
    return f"/shared/{sharing.share(user=row.user, prediction_id=row.pk).token}"


def test_a_shared_page_has_the_value_the_inputs_and_the_reasons(explained: Prediction) -> None:
    page = Client().get(address_of(explained))

    text = words(page)
    assert explained.value
    assert f"{explained.value:,.0f} USD" in text
    assert "BMW, 121 hp" in text
    given = text.partition("What you gave")[2].partition("What was assumed")[0]
    assert "Make BMW" in given
    assert "121 hp" in given
    assert "Why this figure" in text


def test_nothing_on_a_shared_page_leads_to_its_owner(user: User, explained: Prediction) -> None:
    user.name = "Ada-Lovelace-King"
    user.save()

    page = Client().get(address_of(explained))

    source = page.content.decode()
    secrets = [user.name, user.email, str(user.pk), str(explained.pk), explained.pk.hex, "Grandma"]
    secrets += [str(PRICE), f"{PRICE:,}", "1,000", "credits", "charged"]
    assert [secret for secret in secrets if secret in source] == []


def test_even_its_owner_sees_a_shared_page_as_others_do(
    browser: Client, explained: Prediction
) -> None:
    page = browser.get(address_of(explained))

    assert "Grandma" not in page.content.decode()
    assert str(explained.pk) not in page.content.decode()


def test_no_search_engine_proxy_or_other_site_learns_of_a_link(explained: Prediction) -> None:
    page = Client().get(address_of(explained))

    assert '<meta name="robots" content="noindex">' in page.content.decode()
    assert page["X-Robots-Tag"] == "noindex"
    assert page["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert page["Cache-Control"] == "private, no-store"


def test_a_shared_page_is_only_looked_at(explained: Prediction) -> None:
    address = address_of(explained)

    assert Client().head(address).status_code == 200
    assert Client().post(address).status_code == 405


def test_a_token_is_32_bytes_that_nobody_guesses(user: User, explained: Prediction) -> None:
    tokens = []
    for _ in range(5):
        tokens.append(sharing.share(user=user, prediction_id=explained.pk).token)
        sharing.revoke(user=user, prediction_id=explained.pk)

    assert len(set(tokens)) == 5
    assert {len(base64.urlsafe_b64decode(f"{token}=")) for token in tokens} == {32}


def test_a_link_is_good_for_as_long_as_is_set(explained: Prediction, settings: Any) -> None:
    settings.SHARE_LINK_DAYS = 3

    address_of(explained)

    left = ShareLink.objects.get().expires_at - timezone.now()
    assert timedelta(days=2, hours=23) < left <= timedelta(days=3)


@pytest.mark.parametrize("status", ["draft", "queued", "failed", "canceled"])
def test_only_what_has_a_result_is_shared(
    browser: Client, user: User, predictor: Predictor, status: str
) -> None:
    if status == "draft":
        row = services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    else:
        row = services.request_prediction(user=user, predictor=predictor, data=CAR)
    if status == "failed":
        fail(row, Failure.INVALID_INPUT)
    if status == "canceled":
        services.cancel(user=user, prediction_id=row.pk)

    answer = browser.post(f"/predictions/{row.pk}/share", follow=True)

    assert "Only what has finished can be shared." in words(answer)
    assert not ShareLink.objects.exists()


def test_who_is_not_signed_in_shares_and_revokes_nothing(explained: Prediction) -> None:
    path = f"/predictions/{explained.pk}"

    answers = [Client().post(f"{path}/{verb}") for verb in ("share", "revoke")]

    assert [answer["Location"] for answer in answers] == [f"/account/sign-in?next={path}"] * 2
    assert not ShareLink.objects.exists()


def test_what_is_shared_already_can_be_named_without_saying_so(
    browser: Client, explained: Prediction
) -> None:
    address = address_of(explained)

    browser.post(f"/predictions/{explained.pk}/name", {"label": "Another_secret"})

    page = Client().get(address)
    assert page.status_code == 200
    assert "Another_secret" not in page.content.decode()


@pytest.mark.parametrize("way", ["page", "chosen", "API"])
def test_however_a_prediction_is_deleted_its_link_goes_too(
    browser: Client, api: APIClient, explained: Prediction, way: str
) -> None:
    address = address_of(explained)

    deletions: dict[str, Callable[[], Any]] = {
        "page": lambda: browser.post(f"/predictions/{explained.pk}/delete"),
        "chosen": lambda: browser.post("/predictions/chosen", {"id": str(explained.pk)}),
        "API": lambda: api.delete(f"/api/tasks/{explained.pk}"),
    }
    deletions[way]()

    page = Client().get(address)
    assert page.status_code == 404
    assert "BMW" not in words(page)
    assert not ShareLink.objects.exists()


def test_an_expired_link_is_not_offered_any_more(browser: Client, explained: Prediction) -> None:
    address = address_of(explained)
    path = f"/predictions/{explained.pk}"
    before = browser.get(path).content.decode()

    ShareLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert address in before
    assert address not in browser.get(path).content.decode()

"""Choosing predictions of a list at its edges; what it is for is in test_many_predictions."""

import csv
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from accounts.models import User
from billing.models import LedgerEntry
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import LONGEST_LABEL, Prediction, WhatIf
from testing.pages import Failure, account_of, fail, form_key, words

pytestmark = pytest.mark.django_db

CHOSEN = "/predictions/chosen"


@pytest.fixture
def make(user: User, predictor: Predictor) -> Callable[..., Prediction]:
    """A finished prediction, by random forest if nothing else is said."""

    def make(by: Predictor | None = None, /, **data: Any) -> Prediction:
        row = services.request_prediction(user=user, predictor=by or predictor, data=data)
        runner.run_queued(Prediction, row.version_id)
        return Prediction.objects.get(pk=row.pk)

    return make


def ask(browser: Client, do: str, *ids: UUID | str, **options: Any) -> Any:
    return browser.get(CHOSEN, {"do": do, "id": [str(key) for key in ids]}, **options)


def table(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


# --- Side by side --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
def test_two_to_four_stand_side_by_side(
    browser: Client, make: Callable[..., Prediction], count: int
) -> None:
    rows = [make(horsepower=100 + number, brand="bmw") for number in range(count)]

    page = ask(browser, "compare", *(row.pk for row in rows))

    source = page.content.decode()
    table_only = words(page).partition("Predictor Random")[2]
    assert page.status_code == 200
    assert [f'href="/predictions/{row.pk}"' in source for row in rows] == [True] * count
    assert "Power" in table_only
    assert "Make" not in table_only
    assert "Weight" not in table_only  # typical in all of them


def test_the_same_one_twice_is_one(browser: Client, make: Callable[..., Prediction]) -> None:
    row = make(horsepower=121)

    answer = ask(browser, "compare", row.pk, row.pk, follow=True)

    assert answer.redirect_chain[-1][0] == "/predictions"
    assert "Choose two to 4 predictions to compare." in words(answer)


def test_equal_ones_are_said_to_be_equal(browser: Client, make: Callable[..., Prediction]) -> None:
    rows = [make(horsepower=121) for _ in range(2)]

    page = ask(browser, "compare", *(row.pk for row in rows))

    assert page.context["comparison"].differences == []
    assert "Their inputs are the same." in words(page)


def test_different_kinds_are_shown_with_a_warning(
    browser: Client, predictors: dict[str, Predictor], make: Callable[..., Prediction]
) -> None:
    car = make(horsepower=121)
    person = make(predictors["bioage_ridge"], **{"Height (cm)": 180, "Weight (kg)": 80})

    page = ask(browser, "compare", car.pk, person.pk)

    assert "These are of different kinds" in words(page)
    assert not page.context["comparison"].is_of_one_domain


def test_whatever_its_state_and_its_data_a_prediction_can_be_compared(
    browser: Client, user: User, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    rows = [make_draft(data) for data in ({"horsepower": {"value": 90}, "x": [1]}, [1], "text")]
    failed = services.request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    fail(failed, Failure.INVALID_INPUT)
    services.cancel(user=user, prediction_id=rows[0].pk)

    page = ask(browser, "compare", failed.pk, *(row.pk for row in rows))

    assert page.status_code == 200
    assert "Failed" in words(page)


def test_one_that_is_not_ones_own_hides_all(
    stranger: Client, browser: Client, make: Callable[..., Prediction]
) -> None:
    own = make(horsepower=121)

    for other in (uuid4(), "x", "\x00", "é" * 3000):
        assert ask(browser, "compare", own.pk, other).status_code == 404
        assert ask(browser, "delete", own.pk, other).status_code == 404


def test_what_was_deleted_cannot_be_chosen(
    browser: Client, user: User, make: Callable[..., Prediction]
) -> None:
    rows = [make(horsepower=121) for _ in range(2)]
    services.erase(user=user, prediction_id=rows[0].pk)

    assert ask(browser, "compare", *(row.pk for row in rows)).status_code == 404


# --- Deleted -------------------------------------------------------------------------------------


def test_nothing_is_deleted_before_it_was_asked_about(
    browser: Client, make: Callable[..., Prediction]
) -> None:
    row = make(horsepower=121)

    asked = ask(browser, "delete", row.pk)

    assert "Delete the chosen prediction?" in words(asked)
    assert "What was charged is not given back." in words(asked)
    assert Prediction.objects.get(pk=row.pk).erased_at is None


def test_a_draft_that_is_said_to_stay_stays(
    browser: Client, make: Callable[..., Prediction], make_draft: Callable[..., Prediction]
) -> None:
    row, draft = make(horsepower=121), make_draft({"horsepower": 90})
    asked = ask(browser, "delete", row.pk, draft.pk)

    form = {"id": [str(row.pk), str(draft.pk)], "form_key": form_key(asked)}
    answer = browser.post(CHOSEN, form, follow=True)

    assert words(asked).count("stays: it has not ended") == 1
    assert "1 deleted." in words(answer)
    assert Prediction.objects.get(erased_at=None).pk == draft.pk


def test_what_is_deleted_is_empty_and_stays_charged(
    browser: Client, user: User, predictor: Predictor, make: Callable[..., Prediction]
) -> None:
    rows = [make(horsepower=power) for power in (100, 121)]
    entries = LedgerEntry.objects.count()

    browser.post(CHOSEN, {"id": [str(row.pk) for row in rows]})

    for row in Prediction.objects.all():
        assert (row.data, row.value, row.explanation, row.label) == ({}, None, None, "")
        assert row.charged == predictor.price
    assert account_of(user) == (1000 - 2 * predictor.price, 0)
    assert LedgerEntry.objects.count() == entries
    assert not WhatIf.objects.exists()
    assert not list(breaches())


def test_a_form_to_delete_leaves_others_predictions_alone(
    browser: Client, stranger: Client, make: Callable[..., Prediction]
) -> None:
    row = make(horsepower=121)

    answer = stranger.post(CHOSEN, {"id": [str(row.pk), str(uuid4())]}, follow=True)

    assert "0 deleted." in words(answer)
    assert Prediction.objects.get(pk=row.pk).erased_at is None


# --- As a file -----------------------------------------------------------------------------------


def test_the_file_is_streamed_and_private_and_kept_under_a_name(
    browser: Client, make: Callable[..., Prediction]
) -> None:
    make(horsepower=121)

    answer: Any = browser.get("/predictions.csv")

    assert answer.streaming
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="carprice-predictions.csv"'
    assert answer["Cache-Control"] == "private, no-store"
    assert len(table(answer)) == 1


def test_the_file_of_one_predictor_has_no_others(
    browser: Client, predictors: dict[str, Predictor], make: Callable[..., Prediction]
) -> None:
    make(horsepower=121)
    row = make(predictors["linear_regression"], horsepower=121)

    lines = table(browser.get("/predictions.csv?predictor=linear_regression"))

    assert [(line["id"], line["predictor"]) for line in lines] == [
        (str(row.pk), "linear_regression")
    ]
    assert table(browser.get("/predictions.csv?predictor=linear_regression&status=failed")) == []


def test_the_file_has_nobody_elses(stranger: Client, make: Callable[..., Prediction]) -> None:
    make(horsepower=121)

    assert table(stranger.get("/predictions.csv")) == []
    assert Client().get("/predictions.csv")["Location"] == "/account/sign-in?next=/predictions.csv"


def test_a_canceled_draft_is_in_no_file(
    browser: Client, user: User, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft({"horsepower": "=1+1"})
    services.cancel(user=user, prediction_id=draft.pk)

    assert table(browser.get("/predictions.csv")) == []


def test_a_label_with_commas_quotes_and_letters_stays_one_cell(
    browser: Client, make: Callable[..., Prediction]
) -> None:
    row, label = make(horsepower=121), 'Bought, "used" — машина'
    browser.post(f"/predictions/{row.pk}/name", {"label": label})

    [line] = table(browser.get("/predictions.csv"))

    assert line["label"] == label


# --- Called --------------------------------------------------------------------------------------


def test_a_list_names_a_prediction_by_what_was_given_and_its_domain(
    browser: Client, make: Callable[..., Prediction]
) -> None:
    make(brand="bmw", horsepower=121)
    make(brand="volvo", carbody="sedan")

    page = words(browser.get("/predictions"))

    assert "BMW, 121 hp" in page
    assert "Volvo, sedan" in page
    assert page.count("Price of a car, Random forest") >= 2


def test_an_own_label_is_shown_beside_others_and_before_it_is_deleted(
    browser: Client, make: Callable[..., Prediction]
) -> None:
    rows = [make(horsepower=power) for power in (100, 121)]
    browser.post(f"/predictions/{rows[0].pk}/name", {"label": "Grandma's car"})

    pages = [ask(browser, do, *(row.pk for row in rows)) for do in ("compare", "delete")]

    for page in pages:
        assert "Grandma's car" in words(page)
        assert "121 hp" in words(page)


@pytest.mark.parametrize("label", ["x" * LONGEST_LABEL, "ä" * LONGEST_LABEL, "<b>&amp;"])
def test_a_label_is_kept_and_shown_as_it_was_typed(
    browser: Client, make: Callable[..., Prediction], label: str
) -> None:
    row = make(horsepower=121)

    browser.post(f"/predictions/{row.pk}/name", {"label": label})

    page = browser.get(f"/predictions/{row.pk}")
    assert Prediction.objects.get(pk=row.pk).label == label
    assert "<b>&amp;" not in page.content.decode()


def test_a_label_can_be_taken_away(browser: Client, make: Callable[..., Prediction]) -> None:
    row = make(brand="bmw", horsepower=121)
    for label in ("Grandma's car", "   "):
        browser.post(f"/predictions/{row.pk}/name", {"label": label})

    assert Prediction.objects.get(pk=row.pk).label == ""
    assert "BMW, 121 hp" in words(browser.get("/predictions"))


@pytest.mark.parametrize("label", ["x" * (LONGEST_LABEL + 1), "a\x00b"], ids=["long", "null"])
def test_a_label_that_is_refused_is_told_and_the_old_one_stays(
    browser: Client, make: Callable[..., Prediction], label: str
) -> None:
    row = make(horsepower=121)
    browser.post(f"/predictions/{row.pk}/name", {"label": "Before"})

    answer = browser.post(f"/predictions/{row.pk}/name", {"label": label}, follow=True)

    assert "notice error" in answer.content.decode()
    assert Prediction.objects.get(pk=row.pk).label == "Before"


# --- Over time -----------------------------------------------------------------------------------


def test_the_chart_has_one_predictors_results_and_marks_a_change_of_version_in_words(
    browser: Client, predictors: dict[str, Predictor], make: Callable[..., Prediction]
) -> None:
    make(predictors["linear_regression"], horsepower=90)
    first, second = make(horsepower=100), make(horsepower=121)
    # A version with another number stands for one that was trained later.
    other = predictors["gradient_boosting"].current_version
    assert other
    type(other).objects.filter(pk=other.pk).update(number=7)
    Prediction.objects.filter(pk=second.pk).update(version_id=other.pk)

    page = browser.get("/predictions")

    chart = page.context["chart"]
    assert len(chart.drawing.points) == 2
    assert [point.is_own for point in chart.drawing.points] == [False, True]
    assert [mark.text for mark in chart.drawing.marks] == ["version 7"]
    assert page.content.decode().count('<svg class="curve"') == 1
    assert first.created_at < second.created_at

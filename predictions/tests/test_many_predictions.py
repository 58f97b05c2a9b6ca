"""Several predictions at once: compared, deleted, charted, taken along as a file, and called."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import LONGEST_LABEL, Prediction
from testing.pages import account_of, form_key, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_finished(user: User, predictor: Predictor) -> Callable[..., Prediction]:
    def make(**data: Any) -> Prediction:
        row = services.request_prediction(user=user, predictor=predictor, data=data, explain=True)
        runner.run_queued(Prediction, row.version_id)
        return Prediction.objects.get(pk=row.pk)

    return make


def chosen(rows: list[Prediction], do: str) -> str:
    return f"/predictions/chosen?do={do}&" + "&".join(f"id={row.pk}" for row in rows)


def table(response: Any) -> list[dict[str, str]]:
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text)))


# --- Side by side --------------------------------------------------------------------------------


def test_those_that_are_compared_show_in_what_they_differ(
    browser: Client, make_finished: Callable[..., Prediction]
) -> None:
    rows = [make_finished(brand="bmw", horsepower=power) for power in (121, 182)]

    page = browser.get(chosen(rows, "compare"))

    comparison = page.context["comparison"]
    assert [each.feature.name for each in comparison.differences] == ["horsepower"]
    assert sorted(comparison.differences[0].texts) == ["121", "182"]
    assert "BMW, 182 hp" in words(page)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_or_too_many_are_not_compared(
    browser: Client, make_finished: Callable[..., Prediction], count: int
) -> None:
    rows = [make_finished(horsepower=100 + number) for number in range(count)]

    answer = browser.get(chosen(rows, "compare"), follow=True)

    assert answer.redirect_chain[-1][0] == "/predictions"
    assert "to compare" in words(answer) or "Choose predictions" in words(answer)


def test_those_of_somebody_else_are_not_there(
    stranger: Client, make_finished: Callable[..., Prediction]
) -> None:
    row = make_finished(horsepower=121)

    answers = [stranger.get(chosen([row, row], do)) for do in ("compare", "delete")]
    stranger.post("/predictions/chosen", {"id": str(row.pk)})

    assert [answer.status_code for answer in answers] == [404, 404]
    assert Prediction.objects.get().erased_at is None


# --- Deleted -------------------------------------------------------------------------------------


def test_many_are_deleted_once_asked_and_what_runs_stays(
    browser: Client, user: User, predictor: Predictor, make_finished: Callable[..., Prediction]
) -> None:
    ended = [make_finished(horsepower=power) for power in (100, 121)]
    waiting = services.request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    balance = account_of(user)

    asked = browser.get(chosen([*ended, waiting], "delete"))
    form = {
        "id": [str(row.pk) for row in (*ended, waiting)],
        "form_key": form_key(asked),
    }
    answers = [browser.post("/predictions/chosen", form) for _ in range(2)]

    assert "stays: it has not ended" in words(asked)
    assert [answer["Location"] for answer in answers] == ["/predictions"] * 2
    assert Prediction.objects.filter(erased_at__isnull=False).count() == 2
    assert Prediction.objects.get(erased_at=None).pk == waiting.pk
    assert account_of(user) == balance
    assert not list(breaches())


# --- As a file -----------------------------------------------------------------------------------


def test_the_file_has_what_the_filter_shows_and_no_drafts(
    browser: Client,
    user: User,
    make_finished: Callable[..., Prediction],
    make_draft: Callable[..., Prediction],
    predictor: Predictor,
) -> None:
    row = make_finished(brand="bmw", horsepower=121)
    services.request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    make_draft({"horsepower": 90})

    everything = table(browser.get("/predictions.csv"))
    finished = table(browser.get("/predictions.csv?status=finished"))

    assert [line["status"] for line in everything] == ["queued", "finished"]
    [line] = finished
    assert (line["id"], line["case"], line["unit"]) == (str(row.pk), "BMW, 121 hp", "USD")
    assert float(line["low"]) < float(line["value"]) < float(line["high"])
    assert float(line["value"]) == row.value


@pytest.mark.parametrize("label", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"])
def test_a_spreadsheet_takes_no_label_for_a_formula(
    browser: Client, make_finished: Callable[..., Prediction], label: str
) -> None:
    row = make_finished(horsepower=121)
    Prediction.objects.filter(pk=row.pk).update(label=label)

    [line] = table(browser.get("/predictions.csv"))

    assert line["label"] == line["case"] == f"'{label}"


def test_a_long_file_is_read_in_batches_and_misses_nothing(
    browser: Client, make_finished: Callable[..., Prediction], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [make_finished(horsepower=100 + number) for number in range(5)]
    Prediction.objects.update(created_at=Now())  # one moment, so that ids decide
    monkeypatch.setattr("predictions.pages.history.BATCH", 2)

    lines = table(browser.get("/predictions.csv"))

    assert sorted(line["id"] for line in lines) == sorted(str(row.pk) for row in rows)


# --- Called --------------------------------------------------------------------------------------


def test_an_own_label_is_shown_wherever_the_prediction_is(
    browser: Client, make_finished: Callable[..., Prediction]
) -> None:
    row = make_finished(brand="bmw", horsepower=121)
    before = words(browser.get("/predictions"))

    browser.post(f"/predictions/{row.pk}/name", {"label": "  Grandma's car "})

    assert "BMW, 121 hp" in before
    for path in (f"/predictions/{row.pk}", "/predictions", "/wallet"):
        assert "Grandma's car" in words(browser.get(path)), path


def test_a_label_that_is_too_long_is_refused(
    browser: Client, make_finished: Callable[..., Prediction]
) -> None:
    row = make_finished(horsepower=121)

    browser.post(f"/predictions/{row.pk}/name", {"label": "x" * (LONGEST_LABEL + 1)})

    assert Prediction.objects.get(pk=row.pk).label == ""


def test_what_is_deleted_has_no_label_any_more(
    browser: Client, make_finished: Callable[..., Prediction]
) -> None:
    row = make_finished(horsepower=121)
    browser.post(f"/predictions/{row.pk}/name", {"label": "Secret"})

    browser.post(f"/predictions/{row.pk}/delete")

    assert Prediction.objects.get(pk=row.pk).label == ""
    assert "Secret" not in words(browser.get("/wallet"))


# --- Over time -----------------------------------------------------------------------------------


def test_two_results_make_a_chart_and_a_new_version_is_marked(
    browser: Client, predictors: dict[str, Predictor], make_finished: Callable[..., Prediction]
) -> None:
    rows = [make_finished(horsepower=100 + 20 * number) for number in range(2)]
    for days, row in enumerate(reversed(rows)):
        created = F("created_at") - timedelta(days=days)
        Prediction.objects.filter(pk=row.pk).update(created_at=created)

    plain = browser.get("/predictions").context["chart"]
    another = predictors["gradient_boosting"].current_version_id
    Prediction.objects.filter(pk=rows[1].pk).update(version_id=another)
    marked = browser.get("/predictions").context["chart"]

    assert len(plain.drawing.points) == 2
    assert plain.drawing.marks == []
    assert len(marked.drawing.marks) == 1


def test_one_result_makes_no_chart(
    browser: Client, make_finished: Callable[..., Prediction]
) -> None:
    make_finished(horsepower=121)

    assert browser.get("/predictions").context["chart"] is None

"""What-ifs: a finished prediction scored again with other features, free, beside the old result."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import inference
from predictions import audit, waiting, what_ifs
from predictions.execution import claims, recovery, runner, scoring, settlement
from predictions.models import Prediction, WhatIf
from testing.pages import words

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
AskWhatIf = Callable[..., Any]


@pytest.fixture
def finished(api: APIClient, predictor: Predictor) -> str:
    """The id of a finished task."""
    return finish(api, predictor, CAR)


@pytest.fixture
def ask_what_if(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> AskWhatIf:
    """Ask for a what-if; a worker answers as soon as somebody waits."""
    monkeypatch.setattr(waiting, "until_ended", lambda *_: work())
    return lambda task_id, **data: api.post(
        f"/api/tasks/{task_id}/what-if", {"data": data}, format="json"
    )


def finish(api: APIClient, predictor: Predictor, data: dict[str, Any]) -> str:
    order = {"model_name": predictor.name, "data": data}
    sent = api.post("/api/tasks/predict", order, format="json")
    assert sent.status_code == 202, sent.content
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)
    return str(sent.json()["task_id"])


def work() -> None:
    for version_id in recovery.waiting_versions(WhatIf):
        while runner.run_queued(WhatIf, version_id):
            pass


def task(api: APIClient, task_id: str) -> dict[str, Any]:
    body: dict[str, Any] = api.get(f"/api/tasks/{task_id}").json()
    return body


# --- What is answered ----------------------------------------------------------------------------


def test_the_new_value_and_range_stand_beside_the_old(
    api: APIClient, ask_what_if: AskWhatIf, finished: str
) -> None:
    before = task(api, finished)["result"]

    answer = ask_what_if(finished, horsepower=200)

    assert answer.status_code == 200
    body = answer.json()
    assert body["changed"] == {"horsepower": 200}
    assert body["before"] == {
        "value": before["value"],
        "interval": before["interval"],
        "changed": {"horsepower": 121},
    }
    assert body["value"] > before["value"]
    assert body["interval"]["low"] < body["value"] < body["interval"]["high"]
    assert (body["unit"], body["left"]) == ("USD", 19)


def test_it_is_what_a_prediction_with_these_features_is(
    api: APIClient, ask_what_if: AskWhatIf, predictor: Predictor, finished: str
) -> None:
    bought = task(api, finish(api, predictor, {**CAR, "horsepower": 200, "carbody": "wagon"}))

    body = ask_what_if(finished, horsepower=200, carbody="wagon").json()

    assert body["value"] == bought["result"]["value"]
    assert body["interval"] == bought["result"]["interval"]


def test_what_follows_from_the_changed_features_follows_anew(
    api: APIClient, ask_what_if: AskWhatIf, predictors: dict[str, Predictor]
) -> None:
    key = finish(api, predictors["bioage_ridge"], {"Height (cm)": 180, "Weight (kg)": 81})

    body = ask_what_if(key, **{"Weight (kg)": 97.2}).json()

    assert body["changed"] == {"Weight (kg)": 97.2, "BMI": pytest.approx(30)}
    assert body["before"]["changed"] == {"Weight (kg)": 81, "BMI": pytest.approx(25)}


def test_another_unit_and_an_alias_are_taken(
    api: APIClient, ask_what_if: AskWhatIf, predictors: dict[str, Predictor], finished: str
) -> None:
    key = finish(api, predictors["bloodage_ridge"], {"glucose": 95})

    sugar = ask_what_if(key, glucose={"value": 5.0, "unit": "mmol/L"}).json()
    name = ask_what_if(finished, CarName="Audi 100 LS").json()

    assert sugar["changed"] == {"glucose": pytest.approx(90.08)}
    assert name["changed"] == {"brand": "audi"}


def test_null_makes_a_feature_typical_again(
    api: APIClient, ask_what_if: AskWhatIf, predictor: Predictor, finished: str
) -> None:
    typical = task(api, finish(api, predictor, {"brand": "bmw"}))

    body = ask_what_if(finished, Power=None).json()

    assert body["changed"] == {"horsepower": typical["data"]["horsepower"]}
    assert body["value"] == typical["result"]["value"]


def test_what_is_made_typical_counts_as_assumed(
    api: APIClient, ask_what_if: AskWhatIf, predictor: Predictor
) -> None:
    given = {"brand": "bmw", "horsepower": 121, "enginesize": 164, "curbweight": 2765}
    key = finish(api, predictor, given)

    body = ask_what_if(key, brand=None, horsepower=None, stroke=3.19).json()

    [warning] = [each for each in body["warnings"] if each["code"] == "mostly_assumed"]
    assert warning["detail"].startswith("3 of 24 features were given, and 21 ")


def test_null_makes_a_value_unknown_where_the_predictor_imputes_it(
    api: APIClient, ask_what_if: AskWhatIf, predictors: dict[str, Predictor]
) -> None:
    key = finish(api, predictors["bloodage_ridge"], {"glucose": 95, "gender": "male"})

    body = ask_what_if(key, glucose=None, gender=None).json()

    assert body["changed"] == {"glucose": None, "gender": "female"}


def test_all_that_was_sent_may_be_made_typical(
    api: APIClient, ask_what_if: AskWhatIf, finished: str
) -> None:
    answer = ask_what_if(finished, CarName=None, horsepower=None)

    assert answer.status_code == 200
    assert answer.json()["changed"].keys() == {"brand", "horsepower"}


def test_other_names_are_taken(ask_what_if: AskWhatIf, finished: str) -> None:
    body = ask_what_if(
        finished, **{"Make": "Alfa Romeo", "Engine-Size": {"value": 2, "unit": "litres"}}
    ).json()

    assert body["changed"] == {"brand": "alfa-romero", "enginesize": 122}


def test_warnings_about_the_changed_values_are_returned(
    ask_what_if: AskWhatIf, finished: str
) -> None:
    body = ask_what_if(finished, horsepower=500).json()

    assert ("horsepower", "outside_training_range") in {
        (warning["feature"], warning["code"]) for warning in body["warnings"]
    }


def test_the_version_of_the_task_answers_even_if_there_is_a_newer_one(
    ask_what_if: AskWhatIf, predictor: Predictor, finished: str
) -> None:
    version = predictor.current_version
    assert version
    newer = PredictorVersion.objects.get(pk=version.pk)
    newer.pk, newer.number, newer.artefact_sha256 = UUID(int=7), 2, "f" * 64  # which does not load
    newer._state.adding = True
    newer.save()
    Predictor.objects.filter(pk=predictor.pk).update(current_version=newer)

    assert ask_what_if(finished, horsepower=200).status_code == 200


# --- What it costs -------------------------------------------------------------------------------


def test_it_is_free_and_leaves_the_task_as_it_was(
    api: APIClient, ask_what_if: AskWhatIf, account: CreditAccount, finished: str
) -> None:
    entries, before = LedgerEntry.objects.count(), task(api, finished)

    assert ask_what_if(finished, horsepower=200).status_code == 200

    assert LedgerEntry.objects.count() == entries
    assert task(api, finished) == before
    assert audit.breaches() == []
    assert len(api.get("/api/tasks").json()["results"]) == 1


def test_a_task_has_twenty(ask_what_if: AskWhatIf, finished: str) -> None:
    left = [ask_what_if(finished, horsepower=100 + step).json()["left"] for step in range(20)]

    refused = ask_what_if(finished, horsepower=99)

    assert left == list(range(19, -1, -1))
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
    assert WhatIf.objects.count() == 20


def test_asking_the_same_again_is_answered_again_and_counts_once(
    ask_what_if: AskWhatIf, finished: str
) -> None:
    first = ask_what_if(finished, horsepower=200)

    again = ask_what_if(finished, horsepower=200)

    assert again.json() == first.json()
    assert WhatIf.objects.count() == 1


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"horsepower": -1}, "horsepower"),
        ({"horsepower": "200"}, "horsepower"),
        ({"brand": "tesla"}, "brand"),
        ({"brand": "audi", "CarName": "audi 100"}, "CarName"),
        ({"wings": 2}, "wings"),
        ({"wings": None}, "wings"),
        ({"brand": None, "horsepower": -1}, "horsepower"),
        ({"Power": 1, "POWER": None, "horsepower": 2}, "Power"),
        ({}, "data"),
    ],
)
def test_bad_changes_are_refused_by_their_names(
    ask_what_if: AskWhatIf, finished: str, data: dict[str, Any], field: str
) -> None:
    refused = ask_what_if(finished, **data)

    assert refused.status_code == 400
    assert list(refused.json()["errors"]) == [field]
    assert not WhatIf.objects.exists()


def test_only_what_has_finished_can_be_varied(
    api: APIClient, ask_what_if: AskWhatIf, predictor: Predictor
) -> None:
    order = {"model_name": predictor.name, "data": CAR}
    draft = api.post("/api/tasks", order, format="json").json()["task_id"]
    queued = api.post("/api/tasks/predict", order, format="json").json()["task_id"]

    refused = [ask_what_if(key, horsepower=200) for key in (draft, queued)]

    assert [answer.status_code for answer in refused] == [409, 409]
    assert not WhatIf.objects.exists()


def test_somebody_elses_task_is_not_there(
    make_user: Callable[..., User],
    client_of: Callable[[User], APIClient],
    finished: str,
) -> None:
    eve = client_of(make_user("eve@example.com"))

    answer = eve.post(f"/api/tasks/{finished}/what-if", {"data": CAR}, format="json")

    assert answer.status_code == 404


def test_without_an_answer_in_time_it_is_504_and_does_not_count(
    api: APIClient, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(what_ifs, "TIMEOUT_SECONDS", 0.05)

    answer = api.post(f"/api/tasks/{finished}/what-if", {"data": CAR}, format="json")
    WhatIf.objects.update(deadline_at=Now() - timedelta(seconds=1))
    recovery.recover()

    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert what_ifs.left(Prediction.objects.get(pk=UUID(finished))) == 20
    assert recovery.waiting_versions(WhatIf) == {}  # nobody scores what nobody waits for


def test_where_too_many_wait_it_is_429_and_nothing_is_stored(
    api: APIClient, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting._wait_slots, "acquire", lambda **_: False)

    answer = api.post(f"/api/tasks/{finished}/what-if", {"data": CAR}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
    assert answer["Retry-After"] == "1"
    assert not WhatIf.objects.exists()


def test_a_task_that_is_deleted_meanwhile_is_not_there(
    api: APIClient, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "until_ended", lambda *_: api.delete(f"/api/tasks/{finished}"))

    answer = api.post(f"/api/tasks/{finished}/what-if", {"data": CAR}, format="json")

    assert answer.status_code == 404


def test_deleting_a_task_deletes_its_what_ifs(
    api: APIClient, ask_what_if: AskWhatIf, finished: str
) -> None:
    ask_what_if(finished, horsepower=200)

    assert api.delete(f"/api/tasks/{finished}").status_code == 204

    assert not WhatIf.objects.exists()


# --- The worker ----------------------------------------------------------------------------------


def waiting_one(api: APIClient, finished: str, horsepower: int = 200) -> WhatIf:
    row = Prediction.objects.get(pk=UUID(finished))
    return what_ifs._queue(row.user, UUID(finished), {"horsepower": horsepower})


def test_those_of_one_version_are_scored_together(api: APIClient, finished: str) -> None:
    rows = [waiting_one(api, finished, horsepower) for horsepower in (100, 150, 200)]

    assert runner.run_queued(WhatIf, rows[0].version_id) == 3

    values = list(WhatIf.objects.values_list("value", flat=True))
    assert len(set(values)) == 3
    assert None not in values


def test_a_second_delivery_finds_nothing_to_do(api: APIClient, finished: str) -> None:
    row = waiting_one(api, finished)
    runner.run_queued(WhatIf, row.version_id)

    assert runner.run_queued(WhatIf, row.version_id) == 0


def test_the_first_answer_stays_if_two_workers_score_it(api: APIClient, finished: str) -> None:
    row = waiting_one(api, finished)
    claim = claims.claim_first_attempts(WhatIf, row.version_id)
    assert claim
    outcomes = scoring.score(claim)
    WhatIf.objects.update(lease_expires_at=Now() - timedelta(seconds=1))
    recovery.recover()
    second = claims.claim_retry(WhatIf, row.version_id)
    assert second
    settlement.settle(second, [scoring.Outcome(second.rows[0], 1.0)])

    settlement.settle(claim, outcomes)

    assert WhatIf.objects.get().value == 1.0


def test_one_whose_worker_died_is_tried_once_more_alone_and_then_no_more(
    api: APIClient, finished: str
) -> None:
    rows = [waiting_one(api, finished, horsepower) for horsepower in (100, 150)]
    version_id = rows[0].version_id
    claimed = []
    for _ in range(3):
        attempts = [
            claims.claim_first_attempts(WhatIf, version_id),
            claims.claim_retry(WhatIf, version_id),
            claims.claim_retry(WhatIf, version_id),
        ]
        claimed.append([len(claim.rows) if claim else 0 for claim in attempts])
        WhatIf.objects.update(lease_expires_at=Now() - timedelta(seconds=1))
        recovery.recover()

    assert claimed == [[2, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert set(WhatIf.objects.values_list("failure", flat=True)) == {"worker_lost"}
    assert recovery.waiting_versions(WhatIf) == {}
    assert what_ifs.left(rows[0].varied) == 20  # what was never answered does not count


def test_one_that_cannot_be_scored_is_400_and_its_neighbors_are_answered(
    api: APIClient, ask_what_if: AskWhatIf, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = waiting_one(api, finished, 150)
    predict = inference.Scorer.predict

    def balk(self: inference.Scorer, rows: Any) -> list[float]:
        if any(row["horsepower"] == 666 for row in rows):
            raise ValueError("not this one")
        return predict(self, rows)

    monkeypatch.setattr(inference.Scorer, "predict", balk)

    refused = ask_what_if(finished, horsepower=666)

    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["data"])
    good.refresh_from_db()
    assert good.value


def test_without_its_artefact_it_is_503(
    ask_what_if: AskWhatIf, predictor: Predictor, finished: str, settings: Any, tmp_path: Any
) -> None:
    settings.MODELS_DIR = tmp_path
    inference._loaded.clear()

    answer = ask_what_if(finished, horsepower=200)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    version = PredictorVersion.objects.get(predictor=predictor)
    assert "cannot be read" in version.fault


def test_what_was_never_answered_is_deleted_after_an_hour(api: APIClient, finished: str) -> None:
    old, new = waiting_one(api, finished, 100), waiting_one(api, finished, 150)
    WhatIf.objects.update(deadline_at=Now())
    recovery.recover()
    WhatIf.objects.filter(pk=old.pk).update(finished_at=Now() - timedelta(hours=2))

    what_ifs.purge_unanswered()

    assert list(WhatIf.objects.values_list("pk", flat=True)) == [new.pk]


# --- The page ------------------------------------------------------------------------------------


@pytest.fixture
def browser(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def filled_in(browser: Client, task_id: str) -> dict[str, Any]:
    form = browser.get(f"/predictions/{task_id}/what-if").context["form"]
    return {form.add_prefix(name): form[name].value() for name in form.fields}


def test_the_page_starts_from_the_inputs_of_the_prediction(browser: Client, finished: str) -> None:
    fields = filled_in(browser, finished)

    assert (fields["brand"], fields["horsepower"]) == ("BMW", "121")


def test_the_page_shows_what_changed_and_what_came_of_it(
    ask_what_if: AskWhatIf, browser: Client, finished: str
) -> None:
    fields = {**filled_in(browser, finished), "horsepower": "200"}

    sent = browser.post(f"/predictions/{finished}/what-if", fields)
    page = browser.get(sent["Location"])

    [answer] = page.context["answers"]
    [change] = answer.changes
    assert (change.feature.name, change.before, change.after) == ("horsepower", "121", "200")
    assert answer.difference == answer.value - page.context["prediction"].value
    assert "Power: 121 → 200 hp" in words(page)
    assert "19 more" in page.content.decode()


def test_the_page_shows_a_change_in_the_unit_it_was_typed_in(
    ask_what_if: AskWhatIf, browser: Client, finished: str
) -> None:
    fields = {**filled_in(browser, finished), "horsepower": "75,5 kW", "stroke": "81"}

    sent = browser.post(f"/predictions/{finished}/what-if", {**fields, "stroke_unit": "mm"})
    page = words(browser.get(sent["Location"]))

    assert "Power: 121 → 75.5 kW = 101 hp" in page
    assert "→ 81 mm = 3.189 in" in page


def test_many_answers_take_no_more_queries_than_one(
    ask_what_if: AskWhatIf, browser: Client, finished: str, django_assert_num_queries: Any
) -> None:
    path = f"/predictions/{finished}/what-if"
    ask_what_if(finished, horsepower=100)
    browser.get(path)
    with CaptureQueriesContext(connection) as one:
        browser.get(path)
    count = len(one)
    for step in range(5):
        ask_what_if(finished, horsepower=150 + step)

    with django_assert_num_queries(count):
        page = browser.get(path)

    assert len(page.context["answers"]) == 6


def test_the_page_asks_for_a_change(ask_what_if: AskWhatIf, browser: Client, finished: str) -> None:
    sent = browser.post(f"/predictions/{finished}/what-if", filled_in(browser, finished))

    assert sent.status_code == 422
    assert "Change at least one value." in sent.content.decode()
    assert not WhatIf.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"horsepower": "5-4"}, "These are several numbers: write one."),
        ({"horsepower": "1,234"}, "write 1234 or 1.234."),
        ({"horsepower": "2001"}, "Enter a number from 1 to 2000 hp."),
        ({"brand": "", "horsepower": ""}, "Fill in at least one value"),
    ],
    ids=str,
)
def test_what_the_page_cannot_read_is_not_asked(
    ask_what_if: AskWhatIf,
    browser: Client,
    finished: str,
    fields: dict[str, str],
    sentence: str,
) -> None:
    sent = browser.post(
        f"/predictions/{finished}/what-if", {**filled_in(browser, finished), **fields}
    )

    assert sent.status_code == 422
    assert sentence in sent.content.decode()
    assert sent.context["form"]["horsepower"].value() == fields["horsepower"]
    assert not WhatIf.objects.exists()


def test_only_a_finished_prediction_leads_to_the_page(
    browser: Client, api: APIClient, predictor: Predictor, finished: str
) -> None:
    order = {"model_name": predictor.name, "data": CAR}
    queued = api.post("/api/tasks/predict", order, format="json").json()["task_id"]

    assert "what-if" in browser.get(f"/predictions/{finished}").content.decode()
    assert f"{queued}/what-if" not in browser.get(f"/predictions/{queued}").content.decode()
    assert browser.get(f"/predictions/{queued}/what-if")["Location"] == f"/predictions/{queued}"


def test_a_stranger_has_to_sign_in_first(client: Client, finished: str) -> None:
    sent = client.get(f"/predictions/{finished}/what-if")

    assert sent.status_code == 302
    assert "/account/sign-in" in sent["Location"]

"""Stored predictions come out of their own version again, to the last bit."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db.models import F
from threadpoolctl import threadpool_limits

from accounts.models import User
from mlmodels.catalogue import publishing
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts, inference
from mlmodels.serving.artefacts import Artefact
from mlmodels.signature import Signature
from predictions import replay, services
from predictions.execution import claims, runner, scoring, settlement
from predictions.models import Prediction
from predictions.replay import Replay
from predictions.services import request_prediction
from testing.fakes import ScriptedEstimator
from testing.fixtures import Trained
from testing.rows import rows_of

pytestmark = pytest.mark.django_db

NAMES = [spec.name for _, spec in predictor_specs()]
FLOATS = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, -1e22, 2.0**53 + 2, 15887.48, 0.0]

Buy = Callable[..., list[Prediction]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a worker."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def rich(make_user: Callable[..., User]) -> User:
    return make_user("rich@example.com", credit=100_000)


@pytest.fixture
def buy(rich: User, predictor: Predictor) -> Buy:
    """Different predictions, as a worker scores them."""

    def buy(count: int = 1, of: Predictor = predictor, explain: bool = False) -> list[Prediction]:
        assert of.current_version
        signature = Signature.from_json(of.current_version.signature)
        rows = [
            request_prediction(user=rich, predictor=of, data=data, explain=explain)
            for data in rows_of(DOMAINS[of.domain], signature, count + 2)[:count]
        ]
        score(of.current_version)
        return list(Prediction.objects.filter(pk__in=[row.pk for row in rows]))

    return buy


def score(version: PredictorVersion) -> None:
    while runner.run_queued(Prediction, version.pk):
        pass


def replayed(**options: Any) -> list[Replay]:
    return list(replay.replay(**options))


def succeed_by_another_model(trained: Trained, name: str) -> PredictorVersion:
    """Publish a version of a predictor that tells other values."""
    domain, spec, card = next(entry for entry in trained if entry[1].name == name)
    digest = artefacts.save(Artefact(ScriptedEstimator(), explains=False))
    return publishing.publish(domain, spec, changed(card, artefact_sha256=digest))


# --- The same ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_was_scored_in_small_arrays_comes_out_the_same_in_large_ones(
    predictors: dict[str, Predictor], buy: Buy, settings: LazySettings, name: str
) -> None:
    settings.CLAIM_ROWS = 3
    buy(4, of=predictors[name])
    buy(4, of=predictors[name], explain=True)
    settings.CLAIM_ROWS = 64

    [result] = replayed()

    assert Prediction.objects.filter(explanation__isnull=True).count() == 4
    assert (result.rows, result.differing, result.fault) == (8, 0, "")


def test_each_is_scored_by_the_version_it_names(
    predictor: Predictor, trained: Trained, rich: User, buy: Buy
) -> None:
    old = predictor.current_version
    buy(2, explain=True)
    waiting = request_prediction(user=rich, predictor=predictor, data={"horsepower": 100})

    new = succeed_by_another_model(trained, predictor.name)
    buy(3, of=Predictor.objects.select_related("current_version").get(pk=predictor.pk))
    assert old
    score(old)

    results = replayed()
    assert [(item.version, item.rows, item.is_faithful) for item in results] == [
        (old, 3, True),
        (new, 3, True),
    ]
    assert Prediction.objects.get(pk=waiting.pk).value != 100 * 100


def test_a_version_that_is_no_longer_current_still_explains(
    predictor: Predictor, trained: Trained, rich: User
) -> None:
    car = {"horsepower": 100}
    row = request_prediction(user=rich, predictor=predictor, data=car, explain=True)
    succeed_by_another_model(trained, predictor.name)

    assert predictor.current_version
    score(predictor.current_version)

    row.refresh_from_db()
    assert row.explanation
    assert replayed()[0].is_faithful


@pytest.mark.parametrize("number", FLOATS)
def test_a_number_comes_back_from_the_database_as_a_worker_stored_it(
    rich: User, predictor: Predictor, number: float
) -> None:
    row = request_prediction(user=rich, predictor=predictor, data={"horsepower": 100})
    claim = claims.claim_first_attempts(Prediction, row.version_id)
    assert claim
    explanation = {"baseline": number, "contributions": {"x": number / 3}, "comparables": None}

    settlement.settle(claim, [scoring.Outcome(claim.rows[0], number, explanation)])

    [stored] = replay._page(Prediction.objects.all(), None)
    assert replay._numbers(stored.value, stored.explanation) == {
        "value": number,
        "baseline": number,
        "contribution of x": number / 3,
        "comparables": None,
    }


# --- Not the same --------------------------------------------------------------------------------


def test_a_value_that_differs_in_its_last_bit_is_named(buy: Buy) -> None:
    _, row, _ = buy(3)
    assert row.value
    other = math.nextafter(row.value, math.inf)
    Prediction.objects.filter(pk=row.pk).update(value=other)

    [result] = replayed()

    assert (result.rows, result.differing) == (3, 1)
    assert 0 < result.largest < 1e-15
    sentence = f"prediction {row.pk}: value stored {other!r}, now {row.value!r}"
    assert [str(difference) for difference in result.differences] == [sentence]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["baseline"], "baseline stored"),
        (["contributions", "enginesize"], "contribution of enginesize stored"),
    ],
)
def test_an_explanation_that_differs_is_named(buy: Buy, path: list[str], expected: str) -> None:
    [row] = buy(explain=True)
    part: Any = row.explanation
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] += 1e-9
    row.save(update_fields=["explanation"])

    [result] = replayed()

    assert result.differing == 1
    assert expected in str(result.differences[0])


def test_what_cannot_be_scored_any_more_differs(buy: Buy) -> None:
    [row] = buy()
    Prediction.objects.update(data={**row.data, "horsepower": "many"})

    [result] = replayed()

    assert (result.rows, result.differing) == (1, 1)
    assert result.differences[0].now == "invalid_input"


def test_many_differences_are_counted_and_a_few_shown(buy: Buy) -> None:
    buy(replay.SHOWN + 2)
    Prediction.objects.update(value=F("value") + 1)

    [result] = replayed()

    assert result.differing == replay.SHOWN + 2
    assert len(result.differences) == replay.SHOWN


# --- Which ---------------------------------------------------------------------------------------


def test_only_what_is_finished_and_not_erased_is_replayed(
    buy: Buy, rich: User, predictor: Predictor
) -> None:
    _, erased, _ = buy(3)
    services.erase(user=rich, prediction_id=erased.pk)
    request_prediction(user=rich, predictor=predictor, data={"horsepower": 100})

    assert [result.rows for result in replayed()] == [2]


def test_what_is_erased_meanwhile_is_left_out(
    buy: Buy, rich: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, second = sorted(buy(2), key=lambda row: row.pk.hex)
    monkeypatch.setattr(replay, "PAGE_ROWS", 1)
    score_rows = scoring.score_rows

    def erase_another_and_score(*arguments: Any) -> Any:
        services.erase(user=rich, prediction_id=second.pk)
        return score_rows(*arguments)

    monkeypatch.setattr(scoring, "score_rows", erase_another_and_score)

    [result] = replayed()

    assert (result.rows, result.differing) == (1, 0)


@pytest.mark.parametrize("page", [1, 2, 5, 100])
def test_pages_have_every_row_once_up_to_the_limit(
    buy: Buy, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    buy(5)
    monkeypatch.setattr(replay, "PAGE_ROWS", page)

    for limit, rows in [(None, 5), (3, 3), (4, 4), (9, 5)]:
        pages = list(replay._pages(Prediction.objects.all(), limit))

        ids = [row.id for rows_of_page in pages for row in rows_of_page]
        assert (len(ids), len(set(ids))) == (rows, rows)
        assert max(map(len, pages)) <= page


def test_predictor_and_time_narrow_it_down(
    buy: Buy, predictors: dict[str, Predictor], predictor: Predictor
) -> None:
    old, _ = buy(2)
    buy(1, of=predictors["bioage_ridge"])
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    Prediction.objects.filter(pk=old.pk).update(finished_at=long_ago)

    def count(**options: Any) -> int:
        return sum(result.rows for result in replayed(**options))

    assert count() == 3
    assert count(predictor=predictor) == 2
    assert count(since=long_ago + timedelta(seconds=1)) == 2
    assert count(predictor=predictor, since=long_ago - timedelta(seconds=1)) == 2


def test_nothing_is_written(buy: Buy) -> None:
    buy(2, explain=True)
    Prediction.objects.update(value=1.0)
    before = list(Prediction.objects.values()), list(PredictorVersion.objects.values())

    assert not replayed()[0].is_faithful

    after = list(Prediction.objects.values()), list(PredictorVersion.objects.values())
    assert after == before


# --- The command ---------------------------------------------------------------------------------


def test_the_command_counts_for_each_version(
    buy: Buy, predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str]
) -> None:
    buy(2)
    buy(3, of=predictors["bioage_ridge"])

    call_command("replay")

    assert capsys.readouterr().out.splitlines() == [
        f"{predictors['bioage_ridge'].current_version}: 3 replayed, 0 differ",
        f"{predictors['random_forest'].current_version}: 2 replayed, 0 differ",
        "5 predictions replayed, 0 differ.",
    ]


def test_the_command_fails_if_any_differs(buy: Buy, capsys: pytest.CaptureFixture[str]) -> None:
    [row] = buy()
    Prediction.objects.update(value=1.0)

    with pytest.raises(SystemExit) as ended:
        call_command("replay")

    output = capsys.readouterr()
    assert ended.value.code == 1
    assert "1 replayed, 1 differ" in output.out
    assert f"prediction {row.pk}: value stored 1.0, now {row.value!r}" in output.err


def test_the_command_fails_if_a_version_cannot_be_loaded_and_goes_on_with_the_others(
    buy: Buy,
    predictors: dict[str, Predictor],
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    buy(2)
    buy(1, of=predictors["bioage_ridge"])
    assert predictor.current_version
    monkeypatch.delitem(inference._loaded, predictor.current_version.pk)
    PredictorVersion.objects.filter(pk=predictor.current_version.pk).update(sklearn_version="0.1")

    with pytest.raises(SystemExit) as ended:
        call_command("replay")

    output = capsys.readouterr()
    assert ended.value.code == 1
    assert f"{predictor.current_version}: 2 not replayed. It was trained with" in output.err
    assert "1 predictions replayed, 0 differ." in output.out
    assert not PredictorVersion.objects.exclude(fault="").exists()


def test_the_command_takes_a_name_a_day_and_a_number(
    buy: Buy, capsys: pytest.CaptureFixture[str]
) -> None:
    buy(3)

    call_command("replay", "--predictor=random_forest", "--since=2020-01-01", "--limit=2")

    assert "2 predictions replayed, 0 differ." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--predictor=oracle", "There is no such predictor"),
        ("--since=yesterday", "give a date or a time"),
        ("--limit=0", "give a number from 1"),
        ("--limit=-1", "give a number from 1"),
    ],
)
def test_the_command_says_what_it_does_not_understand(option: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("replay", option)


def test_the_command_reports_as_json(
    buy: Buy, predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = buy()
    assert row.value
    assert predictor.current_version
    Prediction.objects.update(value=row.value * 2)

    with pytest.raises(SystemExit) as ended:
        call_command("replay", json=True)

    output = capsys.readouterr()
    assert ended.value.code == 1
    assert json.loads(output.out) == {
        "replayed": 1,
        "differing": 1,
        "versions": [
            {
                "model_name": predictor.name,
                "version": predictor.current_version.label,
                "rows": 1,
                "differing": 1,
                "largest": 0.5,
                "differences": [
                    f"prediction {row.pk}: value stored {row.value * 2!r}, now {row.value!r}"
                ],
                "fault": None,
            }
        ],
    }
    assert "1 predictions replayed, 1 differ." in output.err

"""`manage.py train`: what it plans, and that a training that is killed does no harm."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.core.management import CommandError, call_command
from django.db import connection

from carprice.db.cursors import execute
from mlmodels.catalogue import availability, publishing, queries, training_status
from mlmodels.catalogue.card import Measurement, Metrics
from mlmodels.domains import predictor_specs
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts
from mlmodels.training import measured, pool, runner
from mlmodels.training import train as train_module
from mlmodels.training.cross_validation import Plan
from testing.fixtures import AtOnce, Trained

NAME = "linear_regression"
NAMES = [spec.name for _, spec in predictor_specs()]
POINTS = [
    "before fitting",
    "while writing the artefact",
    "between artefact and card",
    "before publishing",
    "while publishing",
]

Entry = Any
Train = Callable[..., str]


@pytest.fixture
def entry(trained: Trained) -> Entry:
    return next(entry for entry in trained if entry[1].name == NAME)


@pytest.fixture
def version(entry: Entry, db: None, settings: LazySettings, tmp_path: Path) -> PredictorVersion:
    """The only predictor's version, in a models directory of this test's own."""
    domain, spec, card = entry
    content = artefacts.path_of(card.artefact_sha256).read_bytes()
    settings.MODELS_DIR = tmp_path / "models"
    artefacts.write_atomically(artefacts.path_of(card.artefact_sha256), content)
    return publishing.publish(domain, spec, card)


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Train:
    """Run the command with few folds, but others than before; returns what it prints."""
    monkeypatch.setattr(Plan, "for_rows", lambda _: Plan(3, 1, 2, by_group=False))
    monkeypatch.setattr(os, "nice", lambda _: 0)  # it would slow down all tests that follow

    def train(**options: Any) -> str:
        call_command("train", **{"only": NAME, "jobs": 1, **options})
        return capsys.readouterr().out

    return train


def change(version: PredictorVersion, **columns: Any) -> None:
    PredictorVersion.objects.filter(pk=version.pk).update(**columns)


def remove(version: PredictorVersion) -> None:
    artefacts.path_of(version.artefact_sha256).unlink()


def everything() -> list[Any]:
    """What a training could change."""
    rows = [list(model._default_manager.values()) for model in (Predictor, PredictorVersion)]
    files = sorted((path.name, path.stat().st_mtime) for path in settings.MODELS_DIR.iterdir())
    return [*rows, files]


# --- The plan ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_dry_run_has_a_line_for_each_predictor(train: Train) -> None:
    lines = train(only=None, missing=True, dry_run=True).splitlines()

    assert lines == [f"{name}: train; it has never been trained" for name in NAMES]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        pytest.param(lambda version: None, "nothing to do", id="good"),
        pytest.param(
            remove,
            "train; {label} cannot be loaded: The artefact cannot be read: No such file or "
            "directory.",
            id="missing",
        ),
        pytest.param(
            lambda version: change(version, sklearn_version="0.24.2"),
            "train; {label} cannot be loaded: It was trained with scikit-learn 0.24.2, and "
            "{sklearn} is installed.",
            id="other-library",
        ),
        pytest.param(
            lambda version: change(version, artefact_format=1),
            "train; {label} has format 1, not 3",
            id="older-format",
        ),
        pytest.param(
            lambda version: change(version, fault="It did not load."),
            "put on sale again; {label} loads again",
            id="mended",
        ),
        pytest.param(
            lambda version: change(version, data_sha256="0" * 64),
            "nothing to do; but {label} learned from other data than car_price.csv has now",
            id="other-data",
        ),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_why(
    version: PredictorVersion, train: Train, spoil: Callable[[PredictorVersion], None], line: str
) -> None:
    spoil(version)

    output = train(missing=True, dry_run=True)

    release = artefacts.installed_release("scikit-learn")
    assert output == f"{NAME}: {line.format(label=version.label, sklearn=release)}\n"


@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.parametrize("fault", ["", "It did not load."])
def test_a_dry_run_changes_nothing(
    version: PredictorVersion, train: Train, missing: bool, fault: str
) -> None:
    change(version, fault=fault)
    before = everything()

    train(missing=missing, dry_run=True)

    assert everything() == before


def test_without_missing_all_are_trained(version: PredictorVersion, train: Train) -> None:
    assert train(dry_run=True) == f"{NAME}: train\n"
    assert f"{NAME} 2-" in train()


def test_changed_data_are_mentioned_and_not_trained_on_by_themselves(
    version: PredictorVersion, train: Train
) -> None:
    change(version, data_sha256="0" * 64)

    output = train(missing=True)

    assert "learned from other data" in output
    assert PredictorVersion.objects.count() == 1


def test_a_file_that_is_back_from_a_backup_puts_its_predictor_on_sale_without_training(
    version: PredictorVersion, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    availability.record_fault(version.pk, "The artefact cannot be read: No such file or directory.")
    monkeypatch.setattr(runner, "train", lambda *_, **__: pytest.fail("it trained"))

    output = train(missing=True)

    assert output == f"{NAME}: put on sale again; {version.label} loads again\n"
    assert queries.find_on_sale(NAME).current_version_id == version.pk


# --- What is measured, and when ------------------------------------------------------------------


def metrics_of(number: int) -> dict[str, Any]:
    metrics: dict[str, Any] = PredictorVersion.objects.get(number=number).metrics
    return metrics


def test_what_a_card_tells_is_not_measured_again(
    version: PredictorVersion, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_module, "assess", lambda *_, **__: pytest.fail("it measured"))
    measurement = Measurement(Metrics(0.9, 1.0, 2.0, 0.1, 201, 10, 3, 1), {"edges": []}, {})
    monkeypatch.setattr(measured, "find", lambda *_: measurement)

    call_command("train", only=NAME, jobs=1)

    assert metrics_of(2)["mae"] == 1.0
    assert "MAE 1.0 USD" in capsys.readouterr().out


def test_without_a_card_what_is_missing_gets_a_quick_estimate(
    version: PredictorVersion, train: Train
) -> None:
    remove(version)

    output = train(missing=True)

    assert "a quick estimate for now, since its recipe is not what its card" in output
    assert metrics_of(2)["quick_estimate"]
    assert metrics_of(2)["coverage"] is None
    calibration = PredictorVersion.objects.get(number=2).calibration
    assert calibration
    assert len(calibration["margins"]) == 3


def test_an_estimate_is_measured_in_the_background_for_the_same_artefact(
    version: PredictorVersion, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    niceness: list[int] = []
    monkeypatch.setattr(os, "nice", niceness.append)
    remove(version)

    train(background=True)

    estimated, final = PredictorVersion.objects.filter(number__gt=1).order_by("number")
    assert niceness == [19]
    assert (estimated.metrics["quick_estimate"], final.metrics["quick_estimate"]) == (True, False)
    assert final.metrics["coverage"] is not None
    assert final.artefact_sha256 == estimated.artefact_sha256
    assert Predictor.objects.get().current_version == final
    assert training_status.read() == {}
    card = json.loads(artefacts.card_path_of(final.artefact_sha256).read_text())
    assert card["metrics"] == final.metrics


def test_what_is_measured_already_is_left_alone(version: PredictorVersion, train: Train) -> None:
    assert train(background=True) == ""
    assert PredictorVersion.objects.count() == 1


def test_two_processes_do_not_measure_the_same(version: PredictorVersion, train: Train) -> None:
    change(version, metrics={**version.metrics, "quick_estimate": True})

    with runner._lock(runner.MEASURING_LOCK):
        train(background=True)

    assert PredictorVersion.objects.count() == 1


def test_what_is_trained_anew_while_it_is_measured_stays(
    version: PredictorVersion, train: Train, monkeypatch: pytest.MonkeyPatch, entry: Entry
) -> None:
    change(version, metrics={**version.metrics, "quick_estimate": True})
    measure = train_module.measure

    def measure_while_another_is_published(*args: Any, **options: Any) -> Any:
        domain, spec, card = entry
        publishing.publish(domain, spec, replace(card, artefact_sha256="f" * 64))
        return measure(*args, **options)

    monkeypatch.setattr(train_module, "measure", measure_while_another_is_published)

    train(background=True)

    current = Predictor.objects.get().current_version
    assert current
    assert (current.number, current.artefact_sha256) == (2, "f" * 64)


def test_an_estimate_of_other_data_is_not_measured(version: PredictorVersion, train: Train) -> None:
    metrics = {**version.metrics, "quick_estimate": True}
    change(version, metrics=metrics, data_sha256="0" * 64)

    assert "not measured; but" in train(background=True)
    assert PredictorVersion.objects.count() == 1


def test_the_first_is_the_one_trained_fastest_and_the_status_tells_of_the_others(
    db: None, train: Train, settings: LazySettings, tmp_path: Path
) -> None:
    settings.MODELS_DIR = tmp_path / "models"

    train(only=None, first=True)

    assert [row.name for row in Predictor.objects.on_sale()] == [NAME]
    assert training_status.read() == dict.fromkeys(NAMES[1:], training_status.TRAINING)


def test_nothing_is_trained_first_if_something_loads(
    version: PredictorVersion, train: Train
) -> None:
    train(only=None, first=True)

    assert Predictor.objects.count() == 1
    assert set(training_status.read()) == set(NAMES) - {NAME}


def test_what_does_not_load_is_off_sale_until_it_is_trained(
    predictors: dict[str, Predictor],
    train: Train,
    settings: LazySettings,
    tmp_path: Path,
    copy_artefact: Callable[[str], None],
) -> None:
    settings.MODELS_DIR = tmp_path
    for name in NAMES[1:]:
        copy_artefact(name)

    train(only=None, first=True)

    assert NAME not in set(Predictor.objects.on_sale().values_list("name", flat=True))
    assert Predictor.objects.on_sale().count() == len(NAMES) - 1
    assert training_status.read() == {NAME: training_status.TRAINING}


def test_several_are_trained_at_a_time(
    db: None, settings: LazySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.MODELS_DIR = tmp_path / "models"
    if connection.vendor == "postgresql":  # this test's transaction waits for the training
        execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    entries = [entry for entry in predictor_specs() if entry[1].name in (NAME, "bioage_ridge")]

    runner.retrain(entries, missing=True, jobs=2, progress=lambda _: None)

    for row in Predictor.objects.on_sale().select_related("current_version"):
        assert row.current_version
        assert artefacts.load(row.current_version)
    assert Predictor.objects.on_sale().count() == 2


# --- What is written -----------------------------------------------------------------------------


def test_a_card_says_what_the_database_says(version: PredictorVersion, train: Train) -> None:
    train()

    trained = PredictorVersion.objects.get(number=2)
    card = json.loads(artefacts.card_path_of(trained.artefact_sha256).read_text())
    assert card.pop("name") == NAME
    assert card.pop("domain") == "car_price"
    assert card.pop("trained_at") == trained.trained_at.isoformat()
    assert card == {column: getattr(trained, column) for column in card}
    assert {"artefact_sha256", "artefact_format", "libraries", "data_sha256", "seed"} <= set(card)


def test_a_card_without_its_artefact_or_the_reverse_does_no_harm(
    version: PredictorVersion, train: Train
) -> None:
    artefacts.save_card("e" * 64, {"name": NAME})
    artefacts.save(artefacts.Artefact("a pipeline that nobody published"))

    assert train(missing=True) == ""
    assert artefacts.load(version)


def test_what_a_killed_training_was_writing_is_removed_after_a_while(
    version: PredictorVersion, train: Train
) -> None:
    old, new = (settings.MODELS_DIR / f".writing-{age}" for age in ("old", "new"))
    long_ago = time.time() - runner.ABANDONED_SECONDS - 1
    for path in (old, new):
        path.touch()
    os.utime(old, (long_ago, long_ago))

    train(missing=True)

    assert (old.exists(), new.exists()) == (False, True)


# --- Killed, and two at once ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcome(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `testing.trainings` reports of trainings in real processes."""
    directory = tmp_path_factory.mktemp("trainings")
    card = next(card for _, spec, card in trained if spec.name == NAME)
    (directory / "card").write_bytes(pickle.dumps(card))
    embedded = {"VAR_DIR": str(directory), "DATABASE_URL": "", "CELERY_BROKER_URL": ""}
    completed = subprocess.run(
        [sys.executable, "-m", "testing.trainings", directory / "card", settings.MODELS_DIR],
        cwd=settings.BASE_DIR,
        env={**os.environ, **embedded, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    return json.loads(completed.stdout)


@pytest.mark.parametrize("point", POINTS)
def test_a_training_that_is_killed_leaves_the_old_version_on_sale(outcome: Any, point: str) -> None:
    assert outcome["killed"][point] == {
        "killed": True,
        "numbers": [1],
        "current": 1,
        "damaged": [],
        "locked": False,
    }


def test_of_two_trainings_at_once_the_second_waits_and_finds_nothing_to_do(outcome: Any) -> None:
    assert outcome["at_once"] == {
        "codes": [0, 0],
        "second": "Another training is at work; this one goes on when it has ended.\n",
        "numbers": [1],
        "current": 1,
        "damaged": [],
        "locked": False,
    }


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_machines_that_publish_at_once_make_two_versions(
    entry: Entry, version: PredictorVersion, at_once: AtOnce
) -> None:
    domain, spec, card = entry
    others = [replace(card, artefact_sha256=digit * 64) for digit in "ef"]

    published = at_once(
        [lambda card=card: publishing.publish(domain, spec, card) for card in others]
    )

    numbers = PredictorVersion.objects.order_by("number").values_list("number", flat=True)
    assert sorted(version.number for version in published) == [2, 3]
    assert list(numbers) == [1, 2, 3]
    assert Predictor.objects.get().current_version in published


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_machines_that_publish_a_first_version_at_once_make_one_predictor(
    entry: Entry, at_once: AtOnce
) -> None:
    domain, spec, card = entry

    at_once([lambda: publishing.publish(domain, spec, card) for _ in range(2)])

    assert Predictor.objects.get().versions.count() == 1


# --- With all predictors -------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_refuses_a_name_it_does_not_know() -> None:
    with pytest.raises(CommandError, match="linear_regression, gradient_boosting, random_forest"):
        call_command("train", only="oracle")


def test_the_command_trains_nothing_that_loads(
    predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("train", missing=True)

    assert capsys.readouterr().out == ""
    assert PredictorVersion.objects.count() == len(NAMES)


def test_the_command_trains_what_is_missing_and_says_how_good_it_is(
    predictors: dict[str, Predictor],
    settings: Any,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    copy_artefact: Callable[[str], None],
) -> None:
    monkeypatch.setattr(Plan, "for_rows", lambda _: Plan(2, 1, 2, by_group=False))
    settings.MODELS_DIR = tmp_path
    for name in set(NAMES) - {"linear_regression"}:
        copy_artefact(name)

    call_command("train", missing=True, jobs=1)

    output = capsys.readouterr().out
    assert "linear_regression" in output
    assert "random_forest" not in output
    assert "MAE 1," in output
    assert "MAPE" in output


@pytest.fixture
def copy_artefact(
    predictors: dict[str, Predictor], settings: Any, tmp_path: Any
) -> Callable[[str], None]:
    """Put a predictor's artefact into the directory of this test."""
    source = settings.MODELS_DIR

    def copy(name: str) -> None:
        version = predictors[name].current_version
        assert version
        file = f"{version.artefact_sha256}.joblib"
        (tmp_path / file).write_bytes((source / file).read_bytes())

    return copy


def test_a_predictor_that_cannot_be_trained_keeps_no_other_one_off_sale(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(name: str, measurement: Any) -> tuple[Any, bytes]:
        if name == "broken":
            raise ValueError("it does not learn")
        return name, b""

    monkeypatch.setattr(pool, "_train", train)
    trained = pool.train_quickly({"broken": None, "one": None, "other": None}, 1)

    assert [next(trained)[0], next(trained)[0]] == ["one", "other"]
    with pytest.raises(ValueError, match="it does not learn"):
        next(trained)


def test_the_command_reports_as_json(
    version: PredictorVersion, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = json.loads(train(missing=True, json=True))["predictors"]
    planned = json.loads(train(dry_run=True, missing=True, json=True))["steps"]
    remove(version)

    [row] = json.loads(train(missing=True, json=True))["predictors"]

    assert [(old["version"], old["published"], old["on_sale"]) for old in kept] == [
        (version.label, False, True)
    ]
    assert planned == [{"model_name": NAME, "action": "nothing to do", "reason": None}]
    assert (row["model_name"], row["version"][:2], row["published"]) == (NAME, "2-", True)
    assert (row["on_sale"], row["fault"]) == (True, None)
    assert row["metrics"]["mae"] > 0

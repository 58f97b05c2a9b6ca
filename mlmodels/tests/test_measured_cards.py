"""The cards in the repository: good for what was measured, and for nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from mlmodels.catalogue.card import Measurement
from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.training import measured, recipe, train
from mlmodels.training.measured import Key, OutdatedCard

ENTRIES = [pytest.param(*entry, id=entry[1].name) for entry in predictor_specs()]
DOMAIN, SPEC = next(entry for entry in predictor_specs() if entry[1].name == "linear_regression")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the cards that tests may spoil; those in it are good for these libraries."""
    for path in measured.FOLDER.glob("*.json"):
        document = json.loads(path.read_text())
        document["libraries"] = [Key.of(DOMAIN, SPEC).libraries]
        (tmp_path / path.name).write_text(json.dumps(document))
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    return tmp_path


def change(folder: Path, **members: Any) -> None:
    path = folder / f"{SPEC.name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


# --- Those that are shipped ----------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "spec"), ENTRIES)
def test_the_shipped_card_is_of_this_data_and_this_recipe(
    domain: Domain, spec: PredictorSpec
) -> None:
    document = json.loads(measured.path_of(spec.name).read_text())
    key = Key.of(domain, spec)

    assert (document["data_sha256"], document["recipe_sha256"]) == (
        key.data_sha256,
        key.recipe_sha256,
    ), "run `make measure`, and commit mlmodels/cards and docs/models.md"


@pytest.mark.parametrize(("domain", "spec"), ENTRIES)
def test_the_shipped_card_is_good_for_the_libraries_that_are_locked(
    domain: Domain, spec: PredictorSpec
) -> None:
    document = json.loads(measured.path_of(spec.name).read_text())

    assert Key.of(domain, spec).libraries in document["libraries"], "run `make measure`"


def test_there_is_no_card_of_anything_else() -> None:
    names = {spec.name for _, spec in predictor_specs()}

    assert {path.stem for path in measured.FOLDER.iterdir()} == names


@pytest.mark.parametrize(("domain", "spec"), ENTRIES)
def test_a_shipped_card_is_small_and_names_no_path(domain: Domain, spec: PredictorSpec) -> None:
    text = measured.path_of(spec.name).read_text()

    assert len(text) < 20_000
    assert max(map(len, text.splitlines())) <= 120
    assert str(measured.FOLDER.parent) not in text


@pytest.mark.parametrize("name", ["linear_regression", "bioage_ridge"])
def test_measuring_anew_gives_the_shipped_figures(name: str) -> None:
    domain, spec = next(entry for entry in predictor_specs() if entry[1].name == name)
    document = json.loads(measured.path_of(name).read_text())

    measurement = train.measure(domain, spec, jobs=2, progress=lambda _: None)

    assert measurement.metrics.mae == pytest.approx(document["metrics"]["mae"], rel=1e-3)
    assert measurement.metrics.coverage == pytest.approx(document["metrics"]["coverage"], abs=0.01)
    margins = measurement.calibration["margins"]
    assert margins == pytest.approx(document["calibration"]["margins"], rel=0.01)


# --- What they are good for ----------------------------------------------------------------------


def test_a_good_card_tells_what_was_measured(folder: Path) -> None:
    measurement = measured.find(DOMAIN, SPEC)

    assert measurement.metrics.repeats == 3
    assert measurement.metrics.unseen_groups is not None
    assert measurement.metrics.unseen_groups.mae > measurement.metrics.mae
    assert not measurement.metrics.quick_estimate


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"data_sha256": "0" * 64}, "car_price.csv is not what its card was measured with"),
        ({"recipe_sha256": "0" * 64}, "its recipe is not what its card was measured with"),
        ({"libraries": [{"numpy": "0.1"}]}, "measured with other libraries than scikit-learn"),
    ],
)
def test_a_card_of_something_else_is_not_used(
    folder: Path, members: dict[str, Any], reason: str
) -> None:
    change(folder, **members)

    with pytest.raises(OutdatedCard, match=reason):
        measured.find(DOMAIN, SPEC)


def test_a_card_that_is_not_there_is_missed(folder: Path) -> None:
    measured.path_of(SPEC.name).unlink()

    with pytest.raises(OutdatedCard, match="none of it that can be read"):
        measured.find(DOMAIN, SPEC)


def test_a_card_that_is_broken_is_like_one_that_is_not_there(folder: Path) -> None:
    measured.path_of(SPEC.name).write_text("<<<<<<< HEAD")

    with pytest.raises(OutdatedCard, match="none of it that can be read"):
        measured.find(DOMAIN, SPEC)


def digest(domain: Domain, spec: PredictorSpec) -> str:
    return recipe.digest(domain, spec, train.TrainingData.of(domain))


def test_what_only_people_read_does_not_change_the_recipe() -> None:
    feature = replace(DOMAIN.features[0], label="Maker", choice_labels={}, help="Who made it.")
    domain = replace(DOMAIN, title="Cars", caveat="None.", features=(feature, *DOMAIN.features[1:]))
    spec = replace(SPEC, title="Ridge", summary="Sums.", algorithm="Ridge")

    assert digest(domain, spec) == digest(DOMAIN, SPEC)


@pytest.mark.parametrize("part", ["group", "relative_errors", "load", "features"])
def test_what_can_change_a_figure_changes_the_recipe(part: str) -> None:
    changed: dict[str, Any] = {
        "group": None,
        "relative_errors": False,
        "load": lambda path: DOMAIN.load(path)[::-1],
        "features": DOMAIN.features[::-1],
    }

    assert digest(replace(DOMAIN, **{part: changed[part]}), SPEC) != digest(DOMAIN, SPEC)


def test_a_parameter_deep_in_a_pipeline_changes_the_recipe() -> None:
    def build() -> Any:
        return SPEC.build().set_params(model__regressor__alpha=3.0)

    assert digest(DOMAIN, replace(SPEC, build=build)) != digest(DOMAIN, SPEC)


# --- Writing them --------------------------------------------------------------------------------


@pytest.fixture
def measurement(folder: Path) -> Measurement:
    return measured.find(DOMAIN, SPEC)


def test_what_is_written_is_found_again(folder: Path, measurement: Measurement) -> None:
    measured.path_of(SPEC.name).unlink()

    assert not measured.write(DOMAIN, SPEC, measurement)

    assert measured.find(DOMAIN, SPEC) == measurement


def test_the_same_figures_by_other_libraries_make_a_card_good_for_both(
    folder: Path, measurement: Measurement
) -> None:
    change(folder, libraries=[{"numpy": "0.1"}])

    assert measured.write(DOMAIN, SPEC, measurement)

    document = json.loads(measured.path_of(SPEC.name).read_text())
    assert document["libraries"] == [{"numpy": "0.1"}, Key.of(DOMAIN, SPEC).libraries]


def test_other_figures_are_good_only_for_what_they_were_measured_with(
    folder: Path, measurement: Measurement
) -> None:
    change(folder, libraries=[{"numpy": "0.1"}])
    metrics = replace(measurement.metrics, mae=measurement.metrics.mae * 1.01)

    assert not measured.write(DOMAIN, SPEC, replace(measurement, metrics=metrics))

    document = json.loads(measured.path_of(SPEC.name).read_text())
    assert document["libraries"] == [Key.of(DOMAIN, SPEC).libraries]
    assert measured.find(DOMAIN, SPEC).metrics.mae == pytest.approx(metrics.mae, rel=1e-5)


@pytest.fixture
def measured_names(monkeypatch: pytest.MonkeyPatch, measurement: Measurement) -> list[str]:
    """The names of the predictors that `manage.py measure` measures; it gets the figures of one."""
    names: list[str] = []

    def measure_now(domain: Domain, spec: PredictorSpec, **_: Any) -> Measurement:
        names.append(spec.name)
        return measurement

    monkeypatch.setattr(train, "measure", measure_now)
    return names


def test_the_command_measures_only_what_is_outdated(
    folder: Path, measured_names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, recipe_sha256="0" * 64)

    call_command("measure")

    assert measured_names == ["linear_regression"]
    assert measured.find(DOMAIN, SPEC)
    output = capsys.readouterr().out
    assert "linear_regression: its recipe is not what its card was measured with" in output
    assert "random_forest: up to date" in output


def test_the_command_measures_all_if_told_to(folder: Path, measured_names: list[str]) -> None:
    call_command("measure", all=True)

    assert measured_names == [spec.name for _, spec in predictor_specs()]


def test_a_card_that_breaks_off_while_it_is_written_leaves_the_old_one(
    folder: Path, measurement: Measurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = measured.path_of(SPEC.name).read_text()

    def fail(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        measured.write(DOMAIN, SPEC, measurement)

    assert measured.path_of(SPEC.name).read_text() == before


def test_the_command_reports_as_json(
    folder: Path, measured_names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    change(folder, recipe_sha256="0" * 64)

    call_command("measure", json=True)

    rows = {row["model_name"]: row for row in json.loads(capsys.readouterr().out)["predictors"]}
    assert list(rows) == [spec.name for _, spec in predictor_specs()]
    assert rows["random_forest"]["result"] == "up to date"
    assert rows["linear_regression"]["result"] in ("the same figures", "card written")
    assert "its recipe is not" in rows["linear_regression"]["reason"]

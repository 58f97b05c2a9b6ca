"""docs/models.md: the figures of the last training, written atomically and only if they changed."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.reporting.markdown import outline

pytestmark = pytest.mark.django_db

NAMES = [spec.name for _, spec in predictor_specs()]


@pytest.fixture
def folder(predictors: dict[str, Predictor], tmp_path: Path) -> Path:
    """Where the document was written."""
    call_command("write_models_doc", folder=tmp_path)
    return tmp_path


def check(folder: Path) -> None:
    call_command("write_models_doc", folder=folder, check=True)


def change_metrics(name: str, **metrics: Any) -> None:
    version = PredictorVersion.objects.get(predictor__name=name)
    PredictorVersion.objects.filter(pk=version.pk).update(metrics={**version.metrics, **metrics})


def test_it_describes_each_domain_and_each_predictor(folder: Path) -> None:
    document = (folder / "models.md").read_text()

    unwrapped = " ".join(document.split())
    for domain in DOMAINS.values():
        assert f"\n## {domain.title}\n" in document
        for paragraph in [domain.caveat, *domain.source, *domain.faults, *domain.out_of_scope]:
            assert paragraph in unwrapped
    assert re.findall(r'^### <a id="(\w+)">', document, re.MULTILINE) == NAMES


def test_it_has_the_figures_of_the_last_training(
    folder: Path, predictors: dict[str, Predictor]
) -> None:
    change_metrics("random_forest", mae=4_321.2, coverage=0.8764)

    call_command("write_models_doc", folder=folder)

    document = (folder / "models.md").read_text()
    assert "| Typical error (MAE) | 4,321 USD |" in document
    assert "It held for 87.6 % of all estimates" in document


def test_its_charts_are_there_and_stand_alone(folder: Path) -> None:
    document = (folder / "models.md").read_text()

    files = re.findall(r"!\[[^]]+\]\((models/[\w-]+\.svg)\)", document)
    assert len(files) == len(set(files)) == 4 * len(NAMES)
    assert {path.name for path in (folder / "models").iterdir()} == {Path(f).name for f in files}
    for file in files:
        root = ET.fromstring((folder / file).read_text())
        [style] = [item.text or "" for item in root if item.tag.endswith("style")]
        used = set(re.findall(r"var\((--[\w-]+)\)", style))
        assert used
        assert used <= set(re.findall(r"(--[\w-]+):", style))


def test_the_same_figures_change_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(folder)

    call_command("write_models_doc", folder=folder)

    assert capsys.readouterr().out.splitlines()[-1].startswith("0 files changed")


def test_the_check_names_what_other_figures_would_change_and_leaves_it(folder: Path) -> None:
    before = (folder / "models.md").read_bytes()
    change_metrics("random_forest", coverage_by_third=[0.5, 0.5, 0.5])

    with pytest.raises(CommandError, match=r": random_forest-coverage\.svg, models\.md\."):
        check(folder)

    assert (folder / "models.md").read_bytes() == before


def test_when_it_was_trained_changes_nothing(folder: Path) -> None:
    PredictorVersion.objects.update(trained_at="2001-02-03T04:05:06Z", artefact_sha256="f" * 64)

    check(folder)


def test_a_chart_of_a_predictor_that_no_longer_exists_is_removed(folder: Path) -> None:
    obsolete = folder / "models" / "oracle-errors.svg"
    obsolete.write_text("")

    with pytest.raises(CommandError, match="oracle-errors"):
        check(folder)
    call_command("write_models_doc", folder=folder)

    assert not obsolete.exists()


def test_nothing_is_written_if_a_predictor_is_not_trained(
    predictors: dict[str, Predictor], tmp_path: Path
) -> None:
    Predictor.objects.filter(name="random_forest").update(current_version=None)

    with pytest.raises(CommandError, match=r"manage\.py train"):
        call_command("write_models_doc", folder=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_write_that_breaks_off_leaves_the_document_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "models.md").read_bytes()
    change_metrics("random_forest", mae=4_321.0)

    def fail(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        call_command("write_models_doc", folder=folder)

    assert (folder / "models.md").read_bytes() == before


def test_an_outline_names_a_models_parts_and_their_set_parameters() -> None:
    spec = next(spec for _, spec in predictor_specs() if spec.name == "linear_regression")

    lines = list(outline(spec.build()))

    assert lines[0] == "- `Pipeline()`"
    assert (
        "    - brand: `OneHotEncoder(handle_unknown='ignore', sparse_output=False)` of 1 feature"
        in lines
    )
    assert lines[-2:] == [
        "  - model: `TransformedTargetRegressor(func=log, inverse_func=exp)`",
        "    - regressor: `Ridge(alpha=2.0)`",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_outline_has_an_address_in_memory(name: str) -> None:
    spec = next(spec for _, spec in predictor_specs() if spec.name == name)

    assert " at 0x" not in "\n".join(outline(spec.build()))


def test_the_committed_document_describes_every_predictor() -> None:
    document = (settings.BASE_DIR / "docs" / "models.md").read_text()

    assert re.findall(r'^### <a id="(\w+)">', document, re.MULTILINE) == NAMES


def test_the_check_reports_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_metrics("random_forest", mae=1.0)
    capsys.readouterr()

    with pytest.raises(CommandError, match="Outdated"):
        call_command("write_models_doc", folder=folder, check=True, json=True)

    report = json.loads(capsys.readouterr().out)
    assert (report["folder"], report["written"]) == (str(folder), False)
    assert "models.md" in report["outdated"]

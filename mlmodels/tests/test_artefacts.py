"""Artefacts: nothing is loaded that is not what was published, and nothing broken is sold."""

import gc
import hashlib
import io
import os
import pickle
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts, explanations, inference
from mlmodels.serving.artefacts import Artefact, ArtefactError
from mlmodels.serving.inference import Scorer, ScoringError
from mlmodels.signature import Feature
from predictions.execution import runner
from predictions.models import Prediction
from predictions.services import request_prediction

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(predictor: Predictor, settings: Any, tmp_path: Path) -> PredictorVersion:
    """A published version whose artefact this test may spoil."""
    version = predictor.current_version
    assert version
    content = artefacts.path_of(version.artefact_sha256).read_bytes()
    settings.MODELS_DIR = tmp_path
    artefacts.path_of(version.artefact_sha256).write_bytes(content)
    return version


def tamper(version: PredictorVersion) -> None:
    path = artefacts.path_of(version.artefact_sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(version: PredictorVersion) -> None:
    path = artefacts.path_of(version.artefact_sha256)
    path.write_bytes(path.read_bytes()[:-100])


def empty(version: PredictorVersion) -> None:
    artefacts.path_of(version.artefact_sha256).write_bytes(b"")


def remove(version: PredictorVersion) -> None:
    artefacts.path_of(version.artefact_sha256).unlink()


def make_a_directory(version: PredictorVersion) -> None:
    remove(version)
    artefacts.path_of(version.artefact_sha256).mkdir()


def come_from_another_sklearn(version: PredictorVersion) -> None:
    version.sklearn_version = "0.24.2"
    version.save()


def come_from_another_numpy(version: PredictorVersion) -> None:
    version.libraries["numpy"] = "1.0"
    version.save()


def come_from_another_pandas(version: PredictorVersion) -> None:
    version.libraries["pandas"] = "1.0"
    version.save()


def come_from_a_newer_release(version: PredictorVersion) -> None:
    version.artefact_format = artefacts.FORMAT + 1
    version.save()


def be_no_pickle(version: PredictorVersion) -> None:
    content = b"not a pickle"
    version.artefact_sha256 = hashlib.sha256(content).hexdigest()
    version.save()
    artefacts.path_of(version.artefact_sha256).write_bytes(content)


SPOILED = [
    pytest.param(tamper, "digest differs", id="tampered"),
    pytest.param(truncate, "digest differs", id="truncated"),
    pytest.param(empty, "digest differs", id="empty"),
    pytest.param(remove, "No such file", id="missing"),
    pytest.param(make_a_directory, "directory", id="a-directory"),
    pytest.param(be_no_pickle, "does not load", id="no-pickle"),
]
INCOMPATIBLE = [
    pytest.param(come_from_another_sklearn, "scikit-learn 0.24.2", id="other-scikit-learn"),
    pytest.param(come_from_another_numpy, "numpy 1.0, and .+ installed", id="other-numpy"),
    pytest.param(come_from_another_pandas, "pandas 1.0, and .+ installed", id="other-pandas"),
    pytest.param(come_from_a_newer_release, "format 4", id="newer-format"),
]


def test_what_was_published_loads_and_predicts(version: PredictorVersion) -> None:
    scorer = inference.scorer(version.pk)

    (value,) = scorer.predict([{item["name"]: item["default"] for item in version.signature}])

    assert 5_000 < value < 50_000


def test_an_artefact_is_named_by_its_digest(version: PredictorVersion) -> None:
    content = artefacts.path_of(version.artefact_sha256).read_bytes()

    assert hashlib.sha256(content).hexdigest() == version.artefact_sha256


def test_saving_leaves_no_half_written_file(settings: Any, tmp_path: Path) -> None:
    settings.MODELS_DIR = tmp_path / "models"

    sha256 = artefacts.save(Artefact("a pipeline"))

    assert [path.name for path in (tmp_path / "models").iterdir()] == [f"{sha256}.joblib"]


def test_a_file_and_its_name_are_synced_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/dev/fd/{descriptor}").is_dir(), (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", fsync)

    artefacts.write_atomically(tmp_path / "file", b"content")

    assert synced == [(False, False), (True, True)]  # the file, then the directory it is in


@pytest.mark.parametrize(("spoil", "reason"), [*SPOILED, *INCOMPATIBLE])
def test_a_spoiled_artefact_is_refused_with_the_reason(
    version: PredictorVersion, spoil: Callable[[PredictorVersion], None], reason: str
) -> None:
    spoil(version)

    with pytest.raises(ArtefactError, match=reason):
        artefacts.load(version)


def test_a_library_that_was_not_recorded_is_no_reason_to_refuse(version: PredictorVersion) -> None:
    version.libraries = {}

    assert artefacts.load(version)


def test_a_library_that_is_only_recorded_is_no_reason_to_refuse(version: PredictorVersion) -> None:
    version.libraries["joblib"] = "0.1"

    assert artefacts.load(version)


def test_a_pickle_with_another_digest_is_not_unpickled(
    version: PredictorVersion, tmp_path: Path
) -> None:
    path = artefacts.path_of(version.artefact_sha256)
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))

    with pytest.raises(ArtefactError):
        artefacts.load(version)

    assert not (tmp_path / "sprung").exists()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_trap_would_spring(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))

    assert (tmp_path / "sprung").exists()


def test_a_pipeline_that_another_scikit_learn_wrote_is_refused(
    version: PredictorVersion,
) -> None:
    """Even if the row says otherwise: scikit-learn's own warning counts as an error."""
    pipeline = artefacts.load(version)
    old = pickle.dumps(pipeline).replace(
        _pickled(version.sklearn_version), _pickled("9" * len(version.sklearn_version))
    )
    version.artefact_sha256 = hashlib.sha256(old).hexdigest()
    artefacts.path_of(version.artefact_sha256).write_bytes(old)

    with pytest.raises(ArtefactError, match="InconsistentVersionWarning"):
        artefacts.load(version)


def _pickled(text: str) -> bytes:
    """A short text as a pickle holds it."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


@pytest.mark.parametrize(("spoil", "reason"), SPOILED)
def test_a_predictor_is_off_sale_once_a_worker_could_not_load_its_artefact(
    api: APIClient,
    user: User,
    version: PredictorVersion,
    spoil: Callable[[PredictorVersion], None],
    reason: str,
) -> None:
    order = {"model_name": "random_forest", "data": {"brand": "bmw"}}
    job_id = api.post("/predict", order, format="json").json()["job_id"]
    spoil(version)

    runner.run_queued(Prediction, version.pk)

    names = [row["model_name"] for row in api.get("/predictors").json()["models"]]
    assert api.get("/predict", {"job_id": job_id}).json()["status"] == "failed"
    assert "random_forest" not in names
    assert api.post("/predict", order, format="json").status_code == 404
    assert reason in PredictorVersion.objects.get(pk=version.pk).fault


def test_a_prediction_whose_artefact_does_not_load_costs_nothing(
    user: User, predictor: Predictor, version: PredictorVersion
) -> None:
    prediction = request_prediction(user=user, predictor=predictor, data={"brand": "bmw"})
    remove(version)

    runner.run_queued(Prediction, version.pk)

    account = CreditAccount.objects.get(pk=user.pk)
    prediction.refresh_from_db()
    assert (account.balance, account.held) == (1000, 0)
    assert prediction.failure == Prediction.Failure.MODEL_UNAVAILABLE


def test_the_predictors_beside_a_spoiled_one_stay_on_sale(
    user: User, predictor: Predictor, version: PredictorVersion
) -> None:
    request_prediction(user=user, predictor=predictor, data={"brand": "bmw"})
    remove(version)

    runner.run_queued(Prediction, version.pk)

    on_sale = Predictor.objects.on_sale().values_list("name", flat=True)
    others = Predictor.objects.exclude(name=predictor.name).values_list("name", flat=True)
    assert sorted(on_sale) == sorted(others)


@pytest.mark.parametrize(("spoil", "reason"), SPOILED[:-1])
def test_readyz_names_a_predictor_whose_artefact_is_spoiled(
    version: PredictorVersion, spoil: Callable[[PredictorVersion], None], reason: str
) -> None:
    spoil(version)

    response = APIClient().get("/readyz")

    assert response.status_code == 503
    assert "random_forest" in response.json()["artefacts"]


# --- What a model returns ------------------------------------------------------------------------


class FakePipeline:
    """Predicts the same values whatever the rows."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def predict(self, _: Any) -> tuple[float, ...]:
        return self.values


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([1.0], id="too-few"),
        pytest.param([1.0, 2.0, 3.0], id="too-many"),
        pytest.param([1.0, float("nan")], id="nan"),
        pytest.param([float("inf"), 1.0], id="infinity"),
    ],
)
def test_what_is_not_one_finite_number_a_row_is_refused(values: list[float]) -> None:
    scorer = Scorer(Artefact(FakePipeline(*values)), [Feature("x", "X", "number", 0)])

    with pytest.raises(ScoringError):
        scorer.predict([{"x": 1}, {"x": 2}])


def test_values_come_in_the_order_of_the_rows(version: PredictorVersion) -> None:
    scorer = inference.scorer(version.pk)
    typical = {item["name"]: item["default"] for item in version.signature}
    rows = [{**typical, "brand": brand} for brand in ("porsche", "chevrolet", "bmw")]

    together = scorer.predict(rows)

    assert together == [scorer.predict([row])[0] for row in rows]
    assert len(set(together)) == 3


def test_the_order_of_a_rows_features_does_not_matter(version: PredictorVersion) -> None:
    scorer = inference.scorer(version.pk)
    row = {item["name"]: item["default"] for item in version.signature}

    assert scorer.predict([row]) == scorer.predict([dict(reversed(row.items()))])


def test_an_artefact_is_read_once_for_many_predictions(version: PredictorVersion) -> None:
    first = inference.scorer(version.pk)
    remove(version)

    assert inference.scorer(version.pk) is first


def test_a_pipeline_that_is_no_longer_loaded_is_freed_with_its_explainers(
    version: PredictorVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "_loaded", OrderedDict())
    monkeypatch.setattr(inference, "MAX_LOADED", 1)
    explanations.preload()
    scorer = inference.scorer(version.pk)
    scorer.explain([{item["name"]: item["default"] for item in version.signature}])
    forest = weakref.ref(scorer._artefact.pipeline[-1])
    [explainer] = map(weakref.ref, scorer._tree_explainers.values())
    assert forest()
    assert explainer()

    del scorer
    inference.scorer(_another_version(version).pk)
    gc.collect()

    assert forest() is None
    assert explainer() is None


def _another_version(version: PredictorVersion) -> PredictorVersion:
    """With the same artefact."""
    version.pk, version.number = uuid.uuid4(), version.number + 1
    version.save(force_insert=True)
    return version


def test_a_tree_explainer_is_built_once(
    version: PredictorVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = inference.scorer(version.pk)
    row = {item["name"]: item["default"] for item in version.signature}
    first = scorer.explain([row])
    monkeypatch.setattr(explanations, "_tree_explainer", lambda _: pytest.fail("built again"))

    assert scorer.explain([row]) == first


def test_what_joblib_wrote_is_what_is_read(version: PredictorVersion) -> None:
    content = artefacts.read_verified(version)

    assert joblib.load(io.BytesIO(content)).pipeline.n_features_in_ == 24


@pytest.mark.parametrize(("spoil", "reason"), INCOMPATIBLE)
def test_rows_of_an_incompatible_version_are_left_to_other_workers(
    api: APIClient,
    user: User,
    version: PredictorVersion,
    spoil: Callable[[PredictorVersion], None],
    reason: str,
) -> None:
    order = {"model_name": "random_forest", "data": {"brand": "bmw"}}
    job_id = api.post("/predict", order, format="json").json()["job_id"]
    spoil(version)

    assert runner.run_queued(Prediction, version.pk) == 0

    assert api.get("/predict", {"job_id": job_id}).json()["status"] == "queued"
    assert PredictorVersion.objects.get(pk=version.pk).fault == ""

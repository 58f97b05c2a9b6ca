"""Each way in which an artefact may be unfit, from the purchase that meets it to the next one."""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount
from mlmodels.catalogue import publishing
from mlmodels.models import PredictorVersion
from mlmodels.serving import artefacts
from mlmodels.serving.artefacts import ArtefactError
from mlmodels.training.cross_validation import Plan
from predictions import worker
from predictions.audit import breaches
from predictions.execution import compatibility, runner
from predictions.models import Prediction
from testing.fixtures import Trained

pytestmark = pytest.mark.django_db

NAME, OTHER = "linear_regression", "bioage_ridge"
CREDITS = 1000
TIMEOUT = 30.0


class Story:
    """A predictor on sale beside another one, a customer, an operator and the only worker."""

    def __init__(self, version: PredictorVersion, user: User, api: APIClient, log: Any) -> None:
        self.version = version
        self._user, self._api, self._log = user, api, log
        self._operator = Client()

    @property
    def artefact(self) -> Path:
        return artefacts.path_of(self.version.artefact_sha256)

    def change(self, **columns: Any) -> None:
        """Let the database say something else of the version."""
        PredictorVersion.objects.filter(pk=self.version.pk).update(**columns)
        self.version.refresh_from_db()

    def unfolds(self, reason: str) -> None:
        """It is refused for that reason, free, reported once, off sale, and mended by training."""
        with pytest.raises(ArtefactError, match=reason):
            artefacts.load(self.version)

        bought = self._buy()
        self._let_a_worker_work()
        assert self._end_of(bought) == (Prediction.Status.FAILED, "model_unavailable")
        assert self._money() == (CREDITS, 0)
        self._is_off_sale()
        self._operator_sees(reason)

        call_command("train", only=NAME, missing=True, jobs=1)
        again = self._buy()
        self._let_a_worker_work()
        assert self._end_of(again) == (Prediction.Status.FINISHED, "")
        assert self._money() == (CREDITS - self.version.predictor.price, 0)
        assert not list(breaches())

    def _buy(self) -> str:
        order = {"model_name": NAME, "data": {"brand": "bmw"}}
        answer = self._api.post("/predict", order, format="json")
        assert answer.status_code == 202
        return str(answer.json()["job_id"])

    def _let_a_worker_work(self) -> None:
        """Start it, give it what waits, and sweep until its timeout is over."""
        worker.load_models()
        for version_id in Prediction.objects.values_list("version", flat=True).distinct():
            runner.run_queued(Prediction, version_id)
        for seconds in (0.0, TIMEOUT + 1, TIMEOUT + 2):
            compatibility.record_loadable_versions()
            compatibility.fail_unserved(seconds)
        worker.load_models()

    def _end_of(self, job_id: str) -> tuple[str, str]:
        row = Prediction.objects.get(pk=job_id)
        return row.status, row.failure

    def _money(self) -> tuple[int, int]:
        account = CreditAccount.objects.get(pk=self._user.pk)
        return account.balance, account.held

    def _is_off_sale(self) -> None:
        models = self._api.get("/predictors").json()["models"]
        order = {"model_name": NAME, "data": {"brand": "bmw"}}
        assert [model["model_name"] for model in models] == [OTHER]
        assert self._api.post("/predict", order, format="json").status_code == 404

    def _operator_sees(self, reason: str) -> None:
        errors = [r.message for r in self._log.records if "cannot be sold" in r.message]
        assert len(errors) == 1
        assert errors[0].startswith(f"{self.version} ")
        assert re.search(reason, errors[0])
        self._operator.force_login(User.objects.create_superuser("op@example.com", "!"))
        for page in (
            reverse("admin:mlmodels_predictor_changelist"),
            reverse("admin:mlmodels_predictor_change", args=[self.version.predictor_id]),
            reverse("admin:mlmodels_predictorversion_change", args=[self.version.pk]),
        ):
            assert re.search(reason, self._operator.get(page).content.decode())
        assert APIClient().get("/readyz").json()["artefacts"] == f"cannot be loaded: {NAME}"


@pytest.fixture
def story(
    trained: Trained,
    user: User,
    api: APIClient,
    settings: LazySettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Story]:
    published = {}
    for domain, spec, card in trained:
        if spec.name in (NAME, OTHER):
            published[spec.name] = publishing.publish(domain, spec, card)
            shutil.copy(artefacts.path_of(card.artefact_sha256), tmp_path)
    settings.MODELS_DIR = tmp_path
    settings.MODEL_TIMEOUT_SECONDS = TIMEOUT
    monkeypatch.setattr(Plan, "for_rows", lambda _: Plan(2, 1, 2, by_group=False))
    caplog.set_level(logging.ERROR)
    compatibility._incompatible.clear()
    yield Story(published[NAME], user, api, caplog)
    compatibility._incompatible.clear()


def test_a_tampered_artefact(story: Story) -> None:
    content = bytearray(story.artefact.read_bytes())
    content[len(content) // 2] ^= 1
    story.artefact.write_bytes(content)

    story.unfolds("its digest differs")


def test_a_truncated_artefact(story: Story) -> None:
    story.artefact.write_bytes(story.artefact.read_bytes()[:-100])

    story.unfolds("its digest differs")


def test_a_missing_artefact(story: Story) -> None:
    story.artefact.unlink()

    story.unfolds("No such file")


def test_an_artefact_with_a_wrong_digest(story: Story) -> None:
    """A good artefact, whole and of this release, but not the one that was published."""
    sha256 = artefacts.save(artefacts.Artefact("another pipeline"))
    artefacts.path_of(sha256).rename(story.artefact)

    story.unfolds("its digest differs")


@pytest.mark.parametrize("library", ["numpy", "pandas"])
def test_an_artefact_of_another_library_version(story: Story, library: str) -> None:
    story.change(libraries={**story.version.libraries, library: "0.1"})

    story.unfolds(f"trained with {library} 0.1, and [0-9.]+ is installed")


def test_an_artefact_of_another_version_of_scikit_learn(story: Story) -> None:
    story.change(sklearn_version="0.24.2")

    story.unfolds("trained with scikit-learn 0.24.2, and [0-9.]+ is installed")


def test_an_artefact_of_a_newer_format(story: Story) -> None:
    story.change(artefact_format=artefacts.FORMAT + 1)

    story.unfolds(f"has format {artefacts.FORMAT + 1}")

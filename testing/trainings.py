"""A program that runs trainings in child processes, kills some, and prints what they leave behind.

It runs in a VAR_DIR of its own, with few folds. The children are forks, so that they need not
import everything again.
"""

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import django

# The predictor that is on sale when its trainings are killed, and the one that two trainings find
# missing at the same time.
ON_SALE, MISSING = "linear_regression", "bioage_ridge"
TIMEOUT_SECONDS = 30


def main(card_path: str, models: str) -> None:
    """Print the results as JSON.

    `card_path` is a file with the pickled card of ON_SALE; its artefact is in the directory
    `models`.
    """
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from sklearn import metrics, model_selection  # noqa: F401  # before the forks

    from mlmodels.catalogue import publishing

    call_command("migrate", verbosity=0)
    card = pickle.loads(Path(card_path).read_bytes())
    settings.MODELS_DIR.mkdir()
    shutil.copy(Path(models) / f"{card.artefact_sha256}.joblib", settings.MODELS_DIR)
    domain, spec = _entry(ON_SALE)
    publishing.publish(domain, spec, card)
    killed = {point: _kill_training_at(point) for point in _kill_points()}
    print(json.dumps({"killed": killed, "at_once": _train_twice_at_once()}))


def _entry(name: str) -> tuple[Any, Any]:
    from mlmodels.domains import predictor_specs

    return next((domain, spec) for domain, spec in predictor_specs() if spec.name == name)


def _kill_points() -> dict[str, tuple[Any, str]]:
    """By name, the function (its module or class, and its name) whose call kills the training."""
    from mlmodels.catalogue import publishing
    from mlmodels.models import Predictor
    from mlmodels.serving import artefacts
    from mlmodels.training import train

    return {
        "before fitting": (train, "fit"),
        "while writing the artefact": (os, "fsync"),
        "between artefact and card": (artefacts, "save_card"),
        "before publishing": (publishing, "publish"),
        "while publishing": (Predictor, "save"),
    }


def _kill_training_at(point: str) -> dict[str, Any]:
    """The state that a training leaves which is killed at a point."""
    owner, function = _kill_points()[point]

    def train() -> None:
        with patch.object(owner, function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)):
            _train(ON_SALE)

    _, status = os.waitpid(_fork(train), 0)
    return {"killed": os.WIFSIGNALED(status), **_state(ON_SALE)}


def _train_twice_at_once() -> dict[str, Any]:
    """Start two trainings of MISSING, the second while the first is at work.

    Returns their exit statuses, what the second printed, and the state they leave. They are
    synchronized by files: the first creates "first" when it is about to fit, and fits when "gate"
    is gone.
    """
    from mlmodels.training import train

    fit = train.fit

    def wait_and_fit(*args: Any) -> Any:
        _file("first").touch()
        _wait_until(lambda: not _file("gate").exists())
        return fit(*args)

    def train_slowly() -> None:
        with patch.object(train, "fit", wait_and_fit):
            _train(MISSING)

    def train_and_log() -> None:
        with _file("second").open("w", buffering=1) as output:
            _train(MISSING, stdout=output)

    _file("gate").touch()
    first = _fork(train_slowly)
    _wait_until(_file("first").exists)
    second = _fork(train_and_log)
    _wait_until(lambda: _file("second").exists() and "\n" in _file("second").read_text())
    _file("gate").unlink()
    codes = [os.waitpid(child, 0)[1] for child in (first, second)]
    return {"codes": codes, "second": _file("second").read_text(), **_state(MISSING)}


def _train(name: str, **options: Any) -> None:
    from django.core.management import call_command

    from mlmodels.training.cross_validation import Plan

    few_folds = Plan(2, 1, 2, by_group=False)
    with patch.object(Plan, "for_rows", lambda _: few_folds), Path(os.devnull).open("w") as null:
        options = {"stdout": null, "missing": name == MISSING, **options}
        call_command("train", only=name, jobs=1, **options)


def _file(name: str) -> Path:
    return Path(os.environ["VAR_DIR"]) / name


def _fork(function: Callable[[], None]) -> int:
    """Run a function in a child process, and return the child's id."""
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if not child:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _state(name: str) -> dict[str, Any]:
    """What the database and the models directory have of a predictor; its artefact must load."""
    from mlmodels.models import Predictor
    from mlmodels.serving import artefacts

    predictor = Predictor.objects.on_sale().filter(name=name).select_related("current_version")
    version = predictor.get().current_version
    assert version
    artefacts.load(version)
    return {
        "numbers": sorted(predictor.get().versions.values_list("number", flat=True)),
        "current": version.number,
        "damaged": list(_damaged_files()),
        "locked": _is_locked(),
    }


def _damaged_files() -> Iterator[str]:
    """Files that have a final name, but are not whole, or are cards without their artefact."""
    from django.conf import settings

    for path in settings.MODELS_DIR.glob("*.joblib"):
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
            yield path.name
    for path in settings.MODELS_DIR.glob("*.json"):
        card = json.loads(path.read_text())
        if not path.with_name(f"{card['artefact_sha256']}.joblib").exists():
            yield path.name


def _is_locked() -> bool:
    from django.conf import settings

    from mlmodels.training.runner import LOCK

    with (settings.MODELS_DIR / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


if __name__ == "__main__":
    main(*sys.argv[1:])

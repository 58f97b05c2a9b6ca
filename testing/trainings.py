"""A program that trains in processes of its own, kills some of them, and prints what is left.

It runs in a VAR_DIR of its own, with few folds. Its processes are forks, so that each need not
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

NAME, OTHER = "linear_regression", "bioage_ridge"
LONGEST_WAIT_SECONDS = 30


def main(cards: str, models: str) -> None:
    """`cards` is a file with a pickled card of NAME; its artefact is in the directory `models`."""
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from sklearn import metrics, model_selection  # noqa: F401  # before the forks

    from mlmodels.catalogue import publishing

    call_command("migrate", verbosity=0)
    card = pickle.loads(Path(cards).read_bytes())
    settings.MODELS_DIR.mkdir()
    shutil.copy(Path(models) / f"{card.artefact_sha256}.joblib", settings.MODELS_DIR)
    domain, spec = _entry(NAME)
    publishing.publish(domain, spec, card)
    deaths = {point: _killed(point) for point in _points()}
    print(json.dumps({"deaths": deaths, "at_once": _two_at_once()}))


def _entry(name: str) -> tuple[Any, Any]:
    from mlmodels.domains import predictor_specs

    return next((domain, spec) for domain, spec in predictor_specs() if spec.name == name)


def _points() -> dict[str, tuple[Any, str]]:
    """Where a training may be killed: before these are called."""
    from mlmodels.catalogue import publishing
    from mlmodels.models import Predictor
    from mlmodels.serving import artefacts
    from mlmodels.training import train

    return {
        "before fitting": (train, "fit"),
        "amid the artefact": (os, "fsync"),
        "between artefact and card": (artefacts, "save_card"),
        "before publishing": (publishing, "publish"),
        "amid publishing": (Predictor, "save"),
    }


def _killed(point: str) -> dict[str, Any]:
    """What a training that is killed at a point leaves."""
    owner, function = _points()[point]

    def train() -> None:
        with patch.object(owner, function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)):
            _train(NAME)

    _, status = os.waitpid(_fork(train), 0)
    return {"killed": os.WIFSIGNALED(status), **_state(NAME)}


def _two_at_once() -> dict[str, Any]:
    """Two trainings of what is missing, the second begun while the first is at work."""
    from mlmodels.training import train

    fit = train.fit

    def wait_and_fit(*args: Any) -> Any:
        _file("first").touch()
        _wait_until(lambda: not _file("gate").exists())
        return fit(*args)

    def train_slowly() -> None:
        with patch.object(train, "fit", wait_and_fit):
            _train(OTHER)

    def train_too() -> None:
        with _file("second").open("w", buffering=1) as output:
            _train(OTHER, stdout=output)

    _file("gate").touch()
    first = _fork(train_slowly)
    _wait_until(_file("first").exists)
    second = _fork(train_too)
    _wait_until(lambda: _file("second").exists() and "\n" in _file("second").read_text())
    _file("gate").unlink()
    codes = [os.waitpid(child, 0)[1] for child in (first, second)]
    return {"codes": codes, "second": _file("second").read_text(), **_state(OTHER)}


def _train(name: str, **options: Any) -> None:
    from django.core.management import call_command

    from mlmodels.training.cross_validation import Plan

    few = Plan(2, 1, 2, by_group=False)
    with patch.object(Plan, "for_rows", lambda _: few), Path(os.devnull).open("w") as nowhere:
        options = {"stdout": nowhere, "missing": name == OTHER, **options}
        call_command("train", only=name, jobs=1, **options)


def _file(name: str) -> Path:
    return Path(os.environ["VAR_DIR"]) / name


def _fork(act: Callable[[], None]) -> int:
    from django.db import connections

    connections.close_all()
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def _wait_until(question: Callable[[], bool]) -> None:
    ends = time.monotonic() + LONGEST_WAIT_SECONDS
    while not question():
        assert time.monotonic() < ends
        time.sleep(0.01)


def _state(name: str) -> dict[str, Any]:
    """What the database and the models directory have."""
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
    """Of those that have a final name."""
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

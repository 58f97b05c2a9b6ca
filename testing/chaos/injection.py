"""Faults inside a process: points of the program where it can be made to die or to wait.

Loaded by `testing.chaos.settings` alone, so that the program itself knows nothing of it. The
environment names a directory, FAULT_POINTS. While it holds a file named for a point, the first
process to reach that point takes the file, and dies at once or waits to be hurt, as the file says.
FAULT_NAME is the program's name, such as `worker-1`: while there is a file of an order, @ and that
name, the program does as ordered, such as doing without one of its safeguards.
"""

import functools
import os
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.db import connections

# Of web processes, in the order in which a submission passes them.
AFTER_HOLD = "after-the-hold"
BEFORE_COMMIT = "before-the-submission-commits"
BEFORE_PUBLISH = "after-commit-before-publish"
BEFORE_ANSWER = "after-publish-before-the-answer"
# Of workers, in the order in which a claim passes them.
AFTER_CLAIM = "after-the-claim"
MID_SCORE = "mid-score"
BEFORE_FINISH = "before-the-finish-commits"
AFTER_FINISH = "after-the-finish-before-ack"
# Of workers' sweeps.
MID_SWEEP = "mid-sweep-before-its-commit"
BEFORE_NOTIFYING = "mid-sweep-before-notifying"

WEB_POINTS = (AFTER_HOLD, BEFORE_COMMIT, BEFORE_PUBLISH, BEFORE_ANSWER)
WORKER_POINTS = (AFTER_CLAIM, MID_SCORE, BEFORE_FINISH, AFTER_FINISH)
SWEEP_POINTS = (MID_SWEEP, BEFORE_NOTIFYING)

DIE, WAIT = "die", "wait"  # what a process does that takes a point's file
SWEEP_OFF, SWEEP_DOUBLED, FENCE_OFF = "sweep-off", "sweep-doubled", "fence-off"  # orders

LONGEST_WAIT_SECONDS = 20
PUBLISH_SECONDS = 0.1  # the publisher takes no longer

DIRECTORY = Path(os.environ.get("FAULT_POINTS", "."))
NAME = os.environ.get("FAULT_NAME", "")


class Injection(AppConfig):
    name = "testing.chaos"

    def ready(self) -> None:
        if NAME.startswith("web"):
            _hook_web()
        if NAME.startswith("worker"):
            _hook_worker()


def reach(point: str) -> None:
    """Do what a file for this point says, unless another process was first to take it."""
    file = DIRECTORY / point
    taken = DIRECTORY / f"taken-{point}-{os.getpid()}"
    try:
        action = file.read_text()
        file.rename(taken)
    except FileNotFoundError:
        return
    if action == DIE:
        os._exit(9)
    ends = time.monotonic() + LONGEST_WAIT_SECONDS
    while taken.exists() and time.monotonic() < ends:
        time.sleep(0.01)


def _hook_web() -> None:
    _replace("predictions.queue", "enqueue", _then(AFTER_HOLD))
    _replace("carprice.idempotency.keys", "store_answer", _then(BEFORE_COMMIT))
    _replace("predictions.services", "notify_workers", _first(BEFORE_PUBLISH))
    _replace("predictions.api.root_contract", "PredictView.dispatch", _before_answer)


def _hook_worker() -> None:
    _replace("predictions.execution.claims", "_claim", _then(AFTER_CLAIM, unless=_is_none))
    _replace("mlmodels.serving.inference", "Scorer.predict", _first(MID_SCORE))
    _replace(
        "predictions.execution.settlement",
        "resolve_holds",
        _then(BEFORE_FINISH, unless=_is_sweeping),
    )
    _replace("predictions.execution.settlement", "_charge_at_once", _first(BEFORE_FINISH))
    _replace("predictions.execution.settlement", "settle", _then(AFTER_FINISH))
    _replace(
        "predictions.execution.settlement", "retry_or_fail", _then(MID_SWEEP, unless=_is_scoring)
    )
    _replace(
        "predictions.execution.recovery",
        "waiting_versions",
        _then(BEFORE_NOTIFYING, unless=_is_scoring),
    )
    _replace("predictions.worker", "Sweeper.sweep", _as_ordered)
    _replace("predictions.execution.settlement", "_finish_statement", _fenced_unless_ordered)


def _replace(module: str, path: str, change: Callable[[Any], Any]) -> None:
    """Put something else in the place of a module's attribute; fails if there is none."""
    owner: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    setattr(owner, name, change(getattr(owner, name)))


def _is_none(result: object) -> bool:
    return result is None


def _is_sweeping(_: object) -> bool:
    return threading.current_thread().name == "sweep"


def _is_scoring(_: object) -> bool:
    return not _is_sweeping(_)


def _then(point: str, *, unless: Callable[[Any], bool] = lambda _: False) -> Callable[[Any], Any]:
    """The function, which reaches the point when it has done its work."""

    def change(original: Any) -> Any:
        @functools.wraps(original)
        def function(*arguments: Any, **options: Any) -> Any:
            result = original(*arguments, **options)
            if not unless(result):
                reach(point)
            return result

        return function

    return change


def _first(point: str) -> Callable[[Any], Any]:
    """The function, which reaches the point before it does anything."""

    def change(original: Any) -> Any:
        @functools.wraps(original)
        def function(*arguments: Any, **options: Any) -> Any:
            reach(point)
            return original(*arguments, **options)

        return function

    return change


def _before_answer(dispatch: Any) -> Any:
    @functools.wraps(dispatch)
    def function(*arguments: Any, **options: Any) -> Any:
        response = dispatch(*arguments, **options)
        if response.status_code == 202 and (DIRECTORY / BEFORE_ANSWER).exists():
            time.sleep(PUBLISH_SECONDS)
            reach(BEFORE_ANSWER)
        return response

    return function


def _as_ordered(sweep: Any) -> Any:
    """A sweep that is left out, or done twice at the same moment, while a file says so."""

    def in_another_thread(sweeper: Any) -> None:
        try:
            sweep(sweeper)
        finally:
            connections.close_all()

    @functools.wraps(sweep)
    def function(sweeper: Any) -> None:
        if _is_ordered(SWEEP_OFF):
            return
        if _is_ordered(SWEEP_DOUBLED):
            threading.Thread(target=in_another_thread, args=[sweeper], daemon=True).start()
        sweep(sweeper)

    return function


def _fenced_unless_ordered(finish: Any) -> Any:
    """The finish, which for once ends rows whoever has claimed them and whatever they are now."""
    settlement: Any = import_module("predictions.execution.settlement")
    statement, fence = settlement._FINISH, "AND claim = %s AND status = 'running'"
    if fence not in statement:
        raise LookupError("The fence is not where it was.")

    @functools.wraps(finish)
    def function(*arguments: Any) -> Any:
        without = statement.replace(fence, "AND %s::uuid IS NOT NULL")
        settlement._FINISH = without if _is_ordered(FENCE_OFF) else statement
        return finish(*arguments)

    return function


def _is_ordered(order: str) -> bool:
    return (DIRECTORY / f"{order}@{NAME}").exists()

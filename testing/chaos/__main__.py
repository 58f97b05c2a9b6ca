"""`make chaos`: inject faults into a service of its own under load, and check what is left."""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the rest needs the settings, which need a directory first
    from testing.chaos.stack import Stack
    from testing.processes import Trained

TRAINED = ("linear_regression", "random_forest")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--stack", default="redis", choices=["redis", "rabbitmq", "embedded"])
    parser.add_argument("--only", nargs="+", default=[], metavar="FAULT", help="these, by name")
    parser.add_argument("--rate", type=float, default=12, help="operations per second")
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}, {options.minutes:g} minutes, {options.stack}", flush=True)
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="carprice-chaos-") as var:
        os.environ |= {"VAR_DIR": var, "DJANGO_SETTINGS_MODULE": "carprice.settings"}
        for name in ("DATABASE_URL", "CELERY_BROKER_URL", "THROTTLE_STORAGE_URL"):
            os.environ.pop(name, None)
        import django

        django.setup()
        return attempt(options, seed)


def attempt(options: argparse.Namespace, seed: int) -> int:
    """The exit status: 0 if nothing was wrong. What went wrong leaves its logs behind."""
    from testing.chaos import faults
    from testing.chaos.run import run
    from testing.chaos.stack import Stack

    unknown = set(options.only) - set(faults.FAULTS)
    if unknown:
        print(f"no such fault: {', '.join(unknown)}; there are: {', '.join(faults.FAULTS)}")
        return 2
    for reason in faults.left_out(options.stack):
        print(f"left out: {reason}")
    trained = train()
    planned = faults.plan(options.stack, seed, options.only)
    seconds = 60 * options.minutes
    with Stack(options.stack, trained) as stack:
        try:
            outcome = run(stack, trained, planned, seed=seed, seconds=seconds, rate=options.rate)
        except BaseException:
            print(f"logs are kept in {keep_logs(stack)}")
            raise
        if outcome.problems:
            print(f"logs are kept in {keep_logs(stack)}")
            return 1
    print("nothing was lost, doubled or stuck")
    return 0


def train() -> "Trained":
    """The real predictors that train in seconds."""
    from mlmodels.domains import predictor_specs
    from mlmodels.training import train
    from mlmodels.training.cross_validation import Plan

    plan = Plan(3, 1, 2, by_group=False)  # how good they are does not matter here
    print(f"training {', '.join(TRAINED)} ...", flush=True)
    return [
        (domain, spec, train.train(domain, spec, jobs=2, progress=lambda _: None, plan=plan))
        for domain, spec in predictor_specs()
        if spec.name in TRAINED
    ]


def keep_logs(stack: "Stack") -> Path:
    """Copy what every process printed, and the database, to a directory that stays."""
    kept = Path(tempfile.mkdtemp(prefix="carprice-chaos-kept-"))
    for directory in (stack.service.var, stack.directory):
        for path in [*directory.glob("*.log"), *directory.glob("carprice.sqlite3*")]:
            shutil.copy(path, kept)
    if stack.postgres:
        with contextlib.suppress(subprocess.CalledProcessError):
            stack.postgres.dump(kept / "database.sql")
    return kept


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

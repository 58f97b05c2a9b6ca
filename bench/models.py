"""`make bench-models`: how long training takes, how good the predictors are, what explaining costs.

Trains all of them in a directory of its own, unless MODELS_OF names one that `make run` has used.
Exits with 1 if a figure is not what is promised.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import django

SCRATCH = tempfile.TemporaryDirectory(prefix="carprice-bench-")
os.environ["VAR_DIR"] = os.environ.get("MODELS_OF", SCRATCH.name)
os.environ["DATABASE_URL"] = ""
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")
django.setup()

from django.core.management import call_command  # noqa: E402  # all of these read the settings
from threadpoolctl import threadpool_limits  # noqa: E402

from mlmodels.domains import DOMAINS  # noqa: E402
from mlmodels.models import Predictor  # noqa: E402
from mlmodels.serving import inference  # noqa: E402

ROWS = 64  # as many as a worker claims at once
ROUNDS = 30
LONGEST_TRAINING = 240.0  # seconds, on two cores
SLOWEST_EXPLANATION = 25.0  # milliseconds for a row alone
COVERAGE = (0.88, 0.93)  # in total and in each third
BEST_OF_CARS = {"r2": (0.94, 1.0), "mae": (0.0, 1330.0), "mape": (0.0, 0.098)}


def main() -> None:
    broken = [*training(), *accuracy(), *explanations()]
    print("\n".join(["", *broken]) if broken else "\nAll is as promised.")
    sys.exit(bool(broken))


def training() -> Iterator[str]:
    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    call_command("train", missing=True)
    took = time.perf_counter() - started
    print(f"\ntraining took {took:.0f} s on {os.cpu_count()} cores")
    if took > LONGEST_TRAINING:
        yield f"Training took {took:.0f} s; promised are {LONGEST_TRAINING:.0f}."


def predictors() -> list[Predictor]:
    rows = Predictor.objects.on_sale().select_related("current_version")
    return list(rows.order_by("domain", "price"))


def accuracy() -> Iterator[str]:
    """Prints a line for each predictor; yields what is not as promised."""
    print("\npredictor                       R²        MAE    MAPE   within ranges, by third")
    for row in predictors():
        assert row.current_version is not None  # it is on sale
        found = row.current_version.metrics
        shares = [found["coverage"], *found["coverage_by_third"]]
        print(
            f"{row.name:26} {found['r2']:7.4f} {found['mae']:10.3f} {found['mape']:7.2%}   "
            + " ".join(f"{share:.1%}" for share in shares)
        )
        if not all(COVERAGE[0] <= share <= COVERAGE[1] for share in shares):
            yield f"The ranges of {row.name} hold too seldom or too often."
    cars = [row for row in predictors() if row.domain == "car_price"]
    best = max(cars, key=lambda row: row.price).current_version
    assert best is not None  # it is on sale
    for name, (low, high) in BEST_OF_CARS.items():
        if not low <= best.metrics[name] <= high:
            yield f"The {name} of {best.predictor} is {best.metrics[name]:.4f}."


def explanations() -> Iterator[str]:
    """Prints what a row costs in one thread, as in a worker; yields who is too slow."""
    threadpool_limits(1)
    print("\nmilliseconds a row         predict alone  of 64   explain alone  of 64")
    for row in predictors():
        slow = measure(row)
        if slow > SLOWEST_EXPLANATION:
            yield f"To explain a row by {row.name} takes {slow:.1f} ms."


def measure(predictor: Predictor) -> float:
    """The median of explaining a row alone, in milliseconds."""
    assert predictor.current_version_id is not None  # it is on sale
    scorer = inference.scorer(predictor.current_version_id)
    rows = real_rows(predictor)
    scorer.explain(rows)  # the first time loads what explains
    predict, explain = (
        (milliseconds(call, rows[:1]), milliseconds(call, rows) / len(rows))
        for call in (scorer.predict, scorer.explain)
    )
    print(
        f"{predictor.name:26} {predict[0]:13.2f} {predict[1]:6.3f} "
        f"{explain[0]:15.2f} {explain[1]:6.3f}"
    )
    return explain[0]


def real_rows(predictor: Predictor) -> list[dict[str, Any]]:
    domain = DOMAINS[predictor.domain]
    table = domain.load(domain.data_path)[:ROWS]
    inputs = table[[feature.name for feature in domain.scored]].astype(object)
    records = inputs.where(inputs.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def milliseconds(call: Callable[[Any], object], rows: list[dict[str, Any]]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call(rows)
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)


if __name__ == "__main__":
    main()

"""`make bench-explain`: what it costs to explain a prediction, in one thread as in a worker."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")
django.setup()

from django.core.management import call_command  # noqa: E402  # all of these read the settings
from threadpoolctl import threadpool_limits  # noqa: E402

from mlmodels import inference  # noqa: E402
from mlmodels.domains import DOMAINS  # noqa: E402
from mlmodels.models import Predictor  # noqa: E402

ROWS = 64  # as many as a worker claims at once
ROUNDS = 30
HIGHEST = 25.0  # milliseconds for a row alone


def main() -> None:
    """Prints a line for each predictor; exits with 1 if one is slower than promised."""
    call_command("setup")
    threadpool_limits(1)
    print("milliseconds a row           predict alone  of 64   explain alone  of 64")
    slowest = max(measure(row) for row in Predictor.objects.on_sale().order_by("domain", "price"))
    print(f"the slowest explanation of a row alone: {slowest:.1f} ms (promised: {HIGHEST:.0f})")
    sys.exit(slowest > HIGHEST)


def measure(predictor: Predictor) -> float:
    """The median of explaining a row alone, in milliseconds, with its prediction."""
    assert predictor.current_version_id is not None  # it is on sale
    scorer = inference.scorer(predictor.current_version_id)
    rows = real_rows(predictor)
    scorer.explain(rows)  # the first time loads what explains
    predict, explain = (
        (milliseconds(call, rows[:1]), milliseconds(call, rows) / len(rows))
        for call in (scorer.predict, scorer.explain)
    )
    print(
        f"{predictor.name:28} {predict[0]:13.2f} {predict[1]:6.3f} "
        f"{explain[0]:15.2f} {explain[1]:6.3f}"
    )
    return explain[0]


def real_rows(predictor: Predictor) -> list[dict[str, Any]]:
    domain = DOMAINS[predictor.domain]
    table = domain.load(domain.data_path)[:ROWS]
    inputs = table[[feature.name for feature in domain.scored]].astype(object)
    return [dict(row) for row in inputs.where(inputs.notna(), None).to_dict("records")]


def milliseconds(call: Callable[[Any], object], rows: list[dict[str, Any]]) -> float:
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        call(rows)
        took.append(time.perf_counter() - started)
    return 1000 * statistics.median(took)


if __name__ == "__main__":
    main()

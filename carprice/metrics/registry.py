"""Making metrics, counting in them, and writing out all there is."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from carprice.metrics import slots

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_shared: Any = None
_making = threading.Lock()


def _shared_value(*arguments: Any, **options: Any) -> Any:
    """A number in this process's files. They are made when something is counted, not before."""
    global _shared
    with _making:
        if _shared is None:
            slots.own()
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.METRICS_DIR)
            _shared = values.MultiProcessValue(slots.own)  # type: ignore[no-untyped-call]
    return _shared(*arguments, **options)


values.ValueClass = _shared_value

_declared: dict[str, str] = {}  # the type of each metric by its name
_collectors: list[Collector] = []


def counter(name: str, description: str, labels: Sequence[str]) -> Counter:
    """One with labels, so that no file is made until something is counted."""
    _declared[name.removesuffix("_total")] = "counter"
    return Counter(name, description, labels, registry=None)


def histogram(
    name: str, description: str, labels: Sequence[str], buckets: Sequence[float] = SECONDS
) -> Histogram:
    _declared[name] = "histogram"
    return Histogram(name, description, labels, buckets=buckets, registry=None)


def register(collector: Collector) -> None:
    """Add what is read each time somebody asks."""
    _collectors.append(collector)


def names() -> set[str]:
    """The names of all counters and histograms, whether anything was counted or not."""
    return set(_declared)


def count(metric: Counter, *labels: str, amount: float = 1) -> None:
    """Add to a counter. A disk that is full costs the count, and nothing else."""
    try:
        metric.labels(*labels).inc(amount)
    except OSError as error:
        logger.debug("Not counted: %s", error)


def observe(metric: Histogram, value: float, *labels: str) -> None:
    """Add a value to a histogram; the same holds."""
    try:
        metric.labels(*labels).observe(value)
    except OSError as error:
        logger.debug("Not counted: %s", error)


def exposition() -> bytes:
    """Everything, as Prometheus reads it."""
    registry = CollectorRegistry(auto_describe=False)
    if Path(settings.METRICS_DIR).is_dir():
        MultiProcessCollector(registry, settings.METRICS_DIR)  # type: ignore[no-untyped-call]
    for collector in _collectors:
        registry.register(collector)
    return generate_latest(registry)

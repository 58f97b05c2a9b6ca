"""Trains several predictors at a time, each in a process of its own.

Imports no Django, since the processes import this module before they have set it up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlmodels.catalogue.card import Card, Measurement
from mlmodels.training.cross_validation import Plan

if TYPE_CHECKING:
    from mlmodels.domains.base import Domain, PredictorSpec


def train_quickly(
    measurements: Mapping[str, Measurement | None], processes: int
) -> Iterator[tuple[str, Card, bytes]]:
    """Fit predictors by their names, and yield each with card and artefact when it is done.

    What was not measured before gets a quick estimate. They are begun in the order of the mapping.
    Raises what one of them failed with, after the others.
    """
    from joblib import Parallel, delayed

    if not measurements:
        return
    tasks = (delayed(_try_to_train)(*item) for item in measurements.items())
    parallel = Parallel(
        n_jobs=min(processes, len(measurements)), batch_size=1, return_as="generator_unordered"
    )
    failures = []
    for name, outcome in parallel(tasks):
        if isinstance(outcome, Exception):
            failures.append(outcome)
        else:
            yield name, *outcome
    if failures:
        raise failures[0]


def _try_to_train(
    name: str, measurement: Measurement | None
) -> tuple[str, tuple[Card, bytes] | Exception]:
    """One that cannot be trained keeps no other one off sale."""
    try:
        return name, _train(name, measurement)
    except Exception as error:  # told when the others are done
        return name, error


def _train(name: str, measurement: Measurement | None) -> tuple[Card, bytes]:
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()
    from mlmodels.training import train

    domain, spec = _entry(name)
    return train.prepare(
        domain, spec, jobs=1, progress=lambda _: None, plan=Plan.quick(), measurement=measurement
    )


def _entry(name: str) -> tuple[Domain, PredictorSpec]:
    from mlmodels.domains import predictor_specs

    return next((domain, spec) for domain, spec in predictor_specs() if spec.name == name)

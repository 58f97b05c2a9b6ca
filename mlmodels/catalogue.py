"""The catalogue's use cases: publish a version, set a price, find what is on sale."""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from carprice.errors import InvalidInput, ServiceError
from carprice.sql import fetch_one, instance
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.intervals import Calibration, Interval
from mlmodels.models import Predictor, PredictorVersion, PriceChange
from mlmodels.signature import Inputs, Signature
from mlmodels.training import Card

logger = logging.getLogger(__name__)

PRICE_BY_RANK = (10, 25, 40)  # credits, from the largest cross-validated error to the smallest
HIGHEST_PRICE = 1_000_000  # also a database constraint
PRICE_STEP = 15  # for each predictor beyond the third

NOTED_EVERY = timedelta(seconds=10)  # by workers, that they could load a version
NOTED_WITHIN = timedelta(seconds=30)  # or no such worker is there


class PredictorNotFound(ServiceError):
    code = "predictor_not_found"


_FOUND_FIELDS = ["id", "name", "domain", "title", "price", "current_version_id"]
_FIND_ON_SALE = """
    SELECT p.id, p.name, p.domain, p.title, p.price, p.current_version_id
    FROM mlmodels_predictor AS p JOIN mlmodels_predictorversion AS v ON v.id = p.current_version_id
    WHERE p.name = %s AND p.enabled AND v.fault = ''
"""


def find_on_sale(model_name: str) -> Predictor:
    """One of `PredictorQuerySet.on_sale`. Raises PredictorNotFound if it cannot be bought."""
    row = fetch_one(_FIND_ON_SALE, model_name)
    if row is None:
        raise PredictorNotFound("There is no such predictor on sale.")
    return instance(Predictor, _FOUND_FIELDS, row)


def find(model_name: str) -> Predictor:
    """A predictor, on sale or not. Raises PredictorNotFound."""
    predictor = Predictor.objects.filter(name=model_name).first()
    if predictor is None:
        raise PredictorNotFound("There is no such predictor.")
    return predictor


def find_described(model_name: str) -> Predictor:
    """Like `find_on_sale`, with everything the catalogue tells of it."""
    rows = Predictor.objects.on_sale().with_version()
    row = None if "\0" in model_name else rows.filter(name=model_name).first()  # PostgreSQL balks
    if row is None:
        raise PredictorNotFound("There is no such predictor on sale.")
    return row


_LABEL = re.compile(r"([1-9][0-9]{0,8})-([0-9a-f]{8})")


def find_version(model_name: str, label: str | None = None) -> PredictorVersion:
    """The current version of a predictor, on sale or not, or the one with that label.

    It comes with its predictor. Raises PredictorNotFound.
    """
    rows = PredictorVersion.objects.select_related("predictor").filter(
        predictor__name=model_name, predictor__domain__in=DOMAINS
    )
    if label is None:
        row = rows.filter(pk=F("predictor__current_version")).first()
    elif found := _LABEL.fullmatch(label):
        number, digest = found.groups()
        row = rows.filter(number=int(number), artefact_sha256__startswith=digest).first()
    else:
        row = None
    if row is None:
        raise PredictorNotFound("There is no such predictor, or no such version of it.")
    return row


@lru_cache(maxsize=64)
def signature_of(version_id: UUID) -> Signature:
    """A version's signature; versions never change, so it is parsed once per process."""
    version = PredictorVersion.objects.only("signature").get(pk=version_id)
    return Signature.from_json(version.signature)


@dataclass(frozen=True)
class VersionFacts:
    """What of a version is told with each of its predictions."""

    label: str
    unit: str
    calibration: Calibration | None  # none of versions that are older than ranges

    def interval(self, value: float) -> Interval | None:
        return self.calibration.interval(value) if self.calibration else None


@lru_cache(maxsize=256)
def facts_of(version_id: UUID) -> VersionFacts:
    told = PredictorVersion.objects.only("number", "artefact_sha256", "unit", "calibration")
    version = told.get(pk=version_id)
    found = version.calibration
    return VersionFacts(
        version.label, version.unit, Calibration.from_json(found) if found else None
    )


def check_inputs(predictor: Predictor, data: Any) -> Inputs:
    """One row of features, checked and completed. Raises InvalidInput naming every bad one."""
    assert predictor.current_version_id is not None  # noqa: S101  # on sale means it has one
    return check_inputs_of(predictor.current_version_id, DOMAINS[predictor.domain], data)


def check_inputs_of(version_id: UUID, domain: Domain, data: Any) -> Inputs:
    """The same as a version takes them, current or not."""
    if not isinstance(data, dict):
        raise InvalidInput({"data": ["Give an object of features and their values."]})
    return domain.complete(signature_of(version_id).check(domain.resolve_aliases(data)))


@transaction.atomic
def publish(domain: Domain, spec: PredictorSpec, card: Card) -> PredictorVersion:
    """Make a trained model the current version; publishing the very same again repairs it."""
    # A first price is needed at once; `price_by_rank` sets it right when all are trained.
    words = {
        "domain": domain.name,
        "title": spec.title,
        "algorithm": spec.algorithm,
        "summary": spec.summary,
    }
    Predictor.objects.get_or_create(
        name=spec.name, defaults={**words, "price": PRICE_BY_RANK[0], "enabled": True}
    )
    predictor = Predictor.objects.select_for_update().get(name=spec.name)
    latest = predictor.versions.order_by("-number").first()
    recorded = _recorded(domain, card)
    if latest is None or any(getattr(latest, name) != value for name, value in recorded.items()):
        number = latest.number + 1 if latest else 1
        latest = PredictorVersion(
            predictor=predictor, number=number, trained_at=card.trained_at, **recorded
        )
    latest.fault = ""
    latest.save()
    for field, value in words.items():
        setattr(predictor, field, value)
    predictor.current_version = latest
    predictor.save(update_fields=[*words, "current_version"])
    return latest


def _recorded(domain: Domain, card: Card) -> dict[str, Any]:
    """What a version records of a training, but for its time, as it comes back from the database.

    The same pickle may have been written with other libraries, which decide whether it is loaded.
    """
    document = {
        "target": domain.target,
        "unit": domain.unit,
        "signature": card.signature,
        "metrics": card.metrics_json(),
        "calibration": card.calibration,
        "report": card.report,
        "artefact_sha256": card.artefact_sha256,
        "artefact_format": card.artefact_format,
        "sklearn_version": card.libraries["scikit-learn"],
        "libraries": card.libraries,
        "data_sha256": card.data_sha256,
        "seed": card.seed,
    }
    found: dict[str, Any] = json.loads(json.dumps(document))  # tuples become lists
    return found


@transaction.atomic
def price_by_rank(domain_name: str) -> None:
    """Price a domain's predictors by their squared error, except those an operator priced."""
    predictors = list(
        Predictor.objects.select_for_update(of=("self",))
        .select_related("current_version")
        .filter(domain=domain_name, current_version__isnull=False)
        .order_by("pk")
    )
    predictors.sort(key=_error, reverse=True)
    for predictor, price in zip(predictors, _ladder(len(predictors)), strict=True):
        if predictor.price_set_by_id is None:
            _record_price(predictor, price, actor=None)


def _error(predictor: Predictor) -> float:
    assert predictor.current_version is not None  # noqa: S101  # filtered for it
    return float(predictor.current_version.metrics["rmse"])


def _ladder(length: int) -> Sequence[int]:
    beyond = (PRICE_BY_RANK[-1] + PRICE_STEP * step for step in range(1, length))
    return [*PRICE_BY_RANK, *beyond][:length]


@transaction.atomic
def set_price(*, predictor_id: int, price: int, actor: User) -> None:
    """An operator's price, which training never changes again. Raises InvalidInput."""
    if not 1 <= price <= HIGHEST_PRICE:
        raise InvalidInput({"price": ["Enter 1 to 1,000,000 credits."]})
    predictor = Predictor.objects.select_for_update().get(pk=predictor_id)
    _record_price(predictor, price, actor=actor)


def _record_price(predictor: Predictor, price: int, *, actor: User | None) -> None:
    first = not predictor.price_changes.exists()
    if not first and actor is None and predictor.price == price:
        return
    PriceChange.objects.create(
        predictor=predictor, price=price, previous=None if first else predictor.price, actor=actor
    )
    predictor.price = price
    predictor.price_set_by = actor
    predictor.save(update_fields=["price", "price_set_by"])


def name_of(version_id: UUID) -> str:
    """A version as operators read it."""
    columns = "number", "artefact_sha256", "predictor__name"
    versions = PredictorVersion.objects.select_related("predictor").only(*columns)
    return str(versions.get(pk=version_id))


def report_fault(version_id: UUID, reason: str) -> None:
    """Take a version off sale because its artefact cannot be loaded, and tell the operator once."""
    reason = reason[:300]
    if PredictorVersion.objects.filter(pk=version_id).exclude(fault=reason).update(fault=reason):
        logger.error("%s cannot be sold: %s", name_of(version_id), reason)


def withdraw_fault(version_id: UUID) -> None:
    """Put a version on sale again whose artefact loads after all."""
    PredictorVersion.objects.filter(pk=version_id).update(fault="")


def versions_on_sale() -> QuerySet[PredictorVersion]:
    """Those that are sold now, without their larger columns."""
    current = Predictor.objects.on_sale().order_by().values("current_version")
    return PredictorVersion.objects.filter(pk__in=current).defer(*PredictorVersion.LARGE)


@transaction.atomic
def note_loadable(version_ids: Iterable[UUID]) -> None:
    """Note that a worker which has what these versions need is at work, if nobody has lately."""
    due = Q(loadable_at=None) | Q(loadable_at__lt=Now() - NOTED_EVERY)
    rows = PredictorVersion.objects.filter(due, pk__in=version_ids)
    ours = list(rows.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    if ours:
        PredictorVersion.objects.filter(pk__in=ours).update(loadable_at=Now())


def is_sold_in_vain(version_id: UUID) -> bool:
    """Whether it is on sale, and no worker that has what it needs has been at work lately."""
    noted = Q(loadable_at__gt=Now() - NOTED_WITHIN)
    return versions_on_sale().filter(pk=version_id).exclude(noted).exists()

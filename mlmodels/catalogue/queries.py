"""Reading the catalogue: what is on sale, what a version takes and promises."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F

from carprice.db.cursors import fetch_one, instance
from carprice.http.errors import InvalidInput, ServiceError
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving.intervals import Calibration, Interval
from mlmodels.signature import Inputs, Signature


class PredictorNotFound(ServiceError):
    code = "predictor_not_found"
    status = 404


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
    return domain.with_derived_features(
        signature_of(version_id).check(domain.resolve_aliases(data))
    )


def name_of(version_id: UUID) -> str:
    """A version as operators read it."""
    columns = "number", "artefact_sha256", "predictor__name"
    versions = PredictorVersion.objects.select_related("predictor").only(*columns)
    return str(versions.get(pk=version_id))

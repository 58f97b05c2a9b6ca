"""Reading the catalogue: predictors on sale, and of each version, its input and its label."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils.translation import gettext

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


# The condition of `PredictorQuerySet.on_sale`; plain SQL, since every submission runs it.
_ON_SALE_FIELDS = ["id", "name", "domain", "title", "price", "current_version_id"]
_SELECT_ON_SALE = """
    SELECT p.id, p.name, p.domain, p.title, p.price, p.current_version_id
    FROM mlmodels_predictor AS p JOIN mlmodels_predictorversion AS v ON v.id = p.current_version_id
    WHERE p.name = %s AND p.enabled AND v.fault = ''
"""


# A part of a larger statement: empty unless a predictor is still on sale as a process has it, which
# the parameters `predictor_id`, `version_id` and `price` tell.
ON_SALE_PART = """
    on_sale AS (
        SELECT 1 FROM mlmodels_predictor AS p
        JOIN mlmodels_predictorversion AS v ON v.id = p.current_version_id
        WHERE p.id = %(predictor_id)s AND p.current_version_id = %(version_id)s
            AND p.price = %(price)s AND p.enabled AND v.fault = ''
    )
"""

# What this process has found on sale, by name. Predictors and prices rarely change, so a submission
# begins with what is here, and the statement that moves the money checks it.
_found: dict[str, Predictor] = {}


def find_on_sale(model_name: str) -> Predictor:
    """A predictor that can be bought now. Raises PredictorNotFound."""
    row = fetch_one(_SELECT_ON_SALE, model_name)
    if row is None:
        _found.pop(model_name, None)
        raise PredictorNotFound(gettext("There is no such predictor on sale."))
    predictor = _found[model_name] = instance(Predictor, _ON_SALE_FIELDS, row)
    return predictor


def recall_on_sale(model_name: str) -> Predictor:
    """What `find_on_sale` has found before, or finds now.

    It may have changed since: nothing may be sold or refused by it without another look.
    """
    return _found.get(model_name) or find_on_sale(model_name)


def is_same_offer(one: Predictor, other: Predictor) -> bool:
    """Whether two readings of a predictor sell the same version at the same price."""
    return (one.pk, one.price, one.current_version_id) == (
        other.pk,
        other.price,
        other.current_version_id,
    )


def find_predictor(model_name: str) -> Predictor:
    """A predictor, on sale or not. Raises PredictorNotFound."""
    predictor = Predictor.objects.filter(name=model_name).first()
    if predictor is None:
        raise PredictorNotFound("There is no such predictor.")
    return predictor


def find_on_sale_with_version(model_name: str) -> Predictor:
    """Like `find_on_sale`, with all fields and the current version."""
    rows = Predictor.objects.on_sale().with_version()
    # PostgreSQL refuses a text with a NUL, which may be part of a URL.
    predictor = None if "\0" in model_name else rows.filter(name=model_name).first()
    if predictor is None:
        raise PredictorNotFound(gettext("There is no such predictor on sale."))
    return predictor


# What `PredictorVersion.label` makes.
_LABEL = re.compile(r"([1-9][0-9]{0,8})-([0-9a-f]{8})")


def find_version(model_name: str, label: str | None = None) -> PredictorVersion:
    """The current version of a predictor, on sale or not, or the one with that label.

    It comes with its predictor. Raises PredictorNotFound.
    """
    versions = PredictorVersion.objects.select_related("predictor").filter(
        predictor__name=model_name, predictor__domain__in=DOMAINS
    )
    if label is None:
        version = versions.filter(pk=F("predictor__current_version")).first()
    elif match := _LABEL.fullmatch(label):
        number, digest = match.groups()
        version = versions.filter(number=int(number), artefact_sha256__startswith=digest).first()
    else:
        version = None
    if version is None:
        raise PredictorNotFound("There is no such predictor, or no such version of it.")
    return version


@lru_cache(maxsize=64)
def signature_of(version_id: UUID) -> Signature:
    """A version's signature; it never changes, so it is parsed once per process."""
    version = PredictorVersion.objects.only("signature").get(pk=version_id)
    return Signature.from_json(version.signature)


@lru_cache(maxsize=64)
def input_schema_of(version_id: UUID, domain: str) -> dict[str, Any]:
    """JSON Schema of what a version takes; it takes milliseconds to write, so that is done once."""
    return DOMAINS[domain].input_schema(signature_of(version_id))


@dataclass(frozen=True)
class VersionSummary:
    """What is shown of a version with each of its predictions.

    `typical_error` is the mean absolute one; `calibration` is None for versions older than ranges.
    """

    label: str
    unit: str
    typical_error: float
    calibration: Calibration | None

    def interval(self, value: float) -> Interval | None:
        return self.calibration.interval(value) if self.calibration else None


@lru_cache(maxsize=256)
def summary_of(version_id: UUID) -> VersionSummary:
    """Read once per process, as `signature_of` is."""
    columns = "number", "artefact_sha256", "unit", "metrics", "calibration"
    version = PredictorVersion.objects.only(*columns).get(pk=version_id)
    calibration = Calibration.from_json(version.calibration) if version.calibration else None
    return VersionSummary(version.label, version.unit, version.metrics["mae"], calibration)


def check_inputs(predictor: Predictor, data: Any) -> Inputs:
    """Check one row as the current version takes it, and fill in what was left out.

    Raises InvalidInput naming every bad feature.
    """
    assert predictor.current_version_id is not None  # noqa: S101  # on sale means it has one
    return check_version_inputs(predictor.current_version_id, DOMAINS[predictor.domain], data)


def check_version_inputs(
    version_id: UUID, domain: Domain, data: Any, *, null_counts: bool = False
) -> Inputs:
    """The same for any version, current or not.

    A row needs a feature that is not null, or with `null_counts` one that may be null.
    """
    if not isinstance(data, dict):
        raise InvalidInput({"data": ["Give an object of features and their values."]})
    return domain.check(signature_of(version_id), data, null_counts=null_counts)


def version_name(version_id: UUID) -> str:
    """The predictor's name and the version's label, for messages to operators."""
    columns = "number", "artefact_sha256", "predictor__name"
    versions = PredictorVersion.objects.select_related("predictor").only(*columns)
    return str(versions.get(pk=version_id))

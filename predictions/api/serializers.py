"""What the `/api/tasks` routes take and answer."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import (
    extend_schema_field,
)
from rest_framework import serializers

from carprice.http.pagination import (
    DatedPageQuery,
)
from carprice.http.queries import OneOfField, QuerySerializer, SecondsField
from carprice.http.serializers import BooleanField, StrictSerializer, StringField
from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from predictions import queue, results, services
from predictions.models import Prediction

LONGEST_WAIT_SECONDS = 30

LONGEST_DRAFT = 20_000  # characters of JSON

# --- What is sent --------------------------------------------------------------------------------


VALUE: dict[str, Any] = {
    "oneOf": [
        {"type": "number", "nullable": True, "description": "null: not measured."},
        {"type": "string"},
        {
            "type": "object",
            "properties": {"value": {"type": "number"}, "unit": {"type": "string"}},
            "required": ["value", "unit"],
            "additionalProperties": False,
            "description": "A number in another unit than the feature's own.",
        },
    ]
}


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": VALUE,
        "minProperties": 1,
        "description": "Features and their values, as the predictor's `input_schema` has them.",
    }
)
class DataField(serializers.JSONField):
    """Features and their values, checked later against the predictor's signature."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Takes null, so that an unknown predictor is told first."""
        return (True, None) if data is None else super().validate_empty_values(data)


@extend_schema_field({"description": "Features and their values, or whatever there is of them."})
class DraftDataField(DataField):
    def to_internal_value(self, data: Any) -> Any:
        if len(json.dumps(data)) > LONGEST_DRAFT:
            raise serializers.ValidationError(f"At most {LONGEST_DRAFT:,} characters of JSON.")
        return data

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        is_empty, value = super().validate_empty_values(data)
        return is_empty, {} if value is None else value


class TaskRequest(StrictSerializer):
    model_name = StringField(max_length=60)
    data = DataField()  # type: ignore[assignment]  # shadows a property; never read
    explain = BooleanField(default=False)


class DraftRequest(TaskRequest):
    data = DraftDataField(default=dict)


class DraftChange(StrictSerializer):
    data = DraftDataField(required=False)  # type: ignore[assignment]
    explain = BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Send data, explain or both.")
        return attrs


class WhatIfRequest(StrictSerializer):
    data = DataField()  # type: ignore[assignment]  # shadows a property; never read


class WaitQuery(QuerySerializer):
    wait = SecondsField(
        min_value=0,
        max_value=LONGEST_WAIT_SECONDS,
        default=0,
        help_text="Seconds to wait for the task to end.",
    )


class TaskQuery(DatedPageQuery):
    status = OneOfField(Prediction.Status.values, default=None)
    model_name = StringField(max_length=60, default=None)
    domain = OneOfField(list(DOMAINS), default=None)


# --- What is answered ----------------------------------------------------------------------------


class Interval(serializers.Serializer[Any]):
    low = serializers.FloatField()
    high = serializers.FloatField()
    coverage = serializers.FloatField()


class Factor(serializers.Serializer[Any]):
    feature = serializers.CharField()
    value = serializers.JSONField()
    contribution = serializers.FloatField()
    direction = serializers.ChoiceField(["raises", "lowers", "none"])


class Comparable(serializers.Serializer[Any]):
    target = serializers.FloatField(help_text="What is known of it, in the result's unit.")
    distance = serializers.FloatField(help_text="From 0, the same, to 1.")
    differences = serializers.JSONField(help_text="What it has otherwise, by feature.")


class Result(serializers.Serializer[Any]):
    value = serializers.FloatField()
    unit = serializers.CharField()
    interval = Interval(allow_null=True)
    baseline = serializers.FloatField(allow_null=True)
    factors = Factor(many=True, allow_null=True)
    age_gap = serializers.FloatField(
        required=False, help_text="The value less the `chronological_age` that was given."
    )
    comparables = Comparable(
        many=True, required=False, help_text="Known cases most like this one, nearest first."
    )
    note = serializers.CharField(help_text="What the value is, and is not.")


class Warning(serializers.Serializer[Any]):  # noqa: A001  # the contract's word
    feature = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class WhatIfSide(serializers.Serializer[Any]):
    value = serializers.FloatField()
    interval = Interval(allow_null=True)
    changed = serializers.JSONField(help_text="Each feature that differs, and its value as used.")


class WhatIfAnswer(WhatIfSide):
    unit = serializers.CharField()
    warnings = Warning(many=True)
    before = WhatIfSide(help_text="The same of the task itself.")
    left = serializers.IntegerField(help_text="How many more the task may have.")


class TaskError(serializers.Serializer[Any]):
    code = serializers.ChoiceField(Prediction.Failure.values)
    detail = serializers.CharField()


class Task(serializers.Serializer[Any]):
    task_id = serializers.UUIDField()
    status = serializers.ChoiceField(Prediction.Status.values)
    model_name = serializers.CharField()
    model_version = serializers.CharField()
    domain = serializers.CharField()
    price = serializers.IntegerField(help_text="Credits; fixed when it is submitted.")
    charged = serializers.IntegerField()
    explain = serializers.BooleanField()
    data = serializers.JSONField(  # type: ignore[assignment]  # shadows a property; never read
        help_text="Every feature as used; of a draft, whatever was given."
    )
    defaulted = serializers.ListField(child=serializers.CharField())
    entered = serializers.JSONField(help_text="Values given in another unit, as given.")
    warnings = Warning(many=True)
    validation_errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField())
    )
    position = serializers.IntegerField(
        allow_null=True, help_text="In the queue of its predictor, from 1; null unless queued."
    )
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    result = Result(allow_null=True)
    error = TaskError(allow_null=True)


def describe(row: Prediction, position: int | None) -> dict[str, Any]:
    """A prediction as the task object of the contract."""
    is_draft = row.status == Prediction.Status.DRAFT
    version_id = (row.predictor.current_version_id if is_draft else None) or row.version_id
    facts = queries.facts_of(version_id)
    return {
        "task_id": str(row.pk),
        "status": row.status,
        "model_name": row.predictor.name,
        "model_version": facts.label,
        "domain": row.predictor.domain,
        "price": row.predictor.price if is_draft else row.price,
        "charged": row.charged,
        "explain": row.explain,
        "data": row.data,
        "defaulted": row.defaulted,
        "entered": row.entered or {},
        "warnings": [asdict(warning) for warning in results.warnings(row)],
        "validation_errors": services.validation_errors(row) if is_draft else {},
        "position": position,
        "created_at": _iso(row.created_at),
        "queued_at": _iso(row.queued_at),
        "started_at": _iso(row.started_at),
        "finished_at": _iso(row.finished_at),
        "result": results.describe(row),
        "error": _error(row),
    }


def _error(row: Prediction) -> dict[str, str] | None:
    if not row.failure:
        return None
    return {"code": row.failure, "detail": row.get_failure_display()}


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def describe_all(rows: Sequence[Prediction]) -> list[dict[str, Any]]:
    positions = queue.positions(rows)
    return [describe(row, positions.get(row.pk)) for row in rows]

"""What the `/api/tasks` routes take and answer."""

import json
from collections.abc import Sequence
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
from predictions import positions, results, services
from predictions.models import Prediction

LONGEST_WAIT_SECONDS = 30

LONGEST_DRAFT = 20_000  # characters of JSON

# --- What is sent --------------------------------------------------------------------------------


VALUE: dict[str, Any] = {
    "oneOf": [
        {
            "type": "number",
            "nullable": True,
            "description": "null: not known, as if it were left out.",
        },
        {
            "type": "string",
            "description": "A choice, by any of its names; case, blanks and dashes do not matter.",
        },
        {"type": "boolean", "description": "Of a feature that is yes or no."},
        {
            "type": "object",
            "properties": {"value": {"type": "number"}, "unit": {"type": "string"}},
            "required": ["value", "unit"],
            "additionalProperties": False,
            "description": "A number in a unit of the feature's, by any of its names.",
        },
    ]
}


@extend_schema_field(
    {
        "type": "object",
        "additionalProperties": VALUE,
        "minProperties": 1,
        "description": (
            "Features and their values, as the predictor's `input_schema` has them. Names of "
            "features, choices and units are taken in any case, with or without blanks and dashes; "
            "answers have their own names. A feature that is null counts as left out."
        ),
    }
)
class DataField(serializers.JSONField):
    """Features and their values, checked later against the predictor's signature."""

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        """Takes null, so that an unknown predictor is refused first."""
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


class Result(serializers.Serializer[results.Result]):
    value = serializers.FloatField()
    unit = serializers.CharField()
    interval = Interval(allow_null=True)
    baseline = serializers.FloatField(allow_null=True)
    factors = Factor(many=True, allow_null=True)
    age_gap = serializers.FloatField(
        required=False, help_text="The value less the `chronological_age` that was sent."
    )
    comparables = Comparable(
        many=True, required=False, help_text="Known cases most like this one, nearest first."
    )
    note = serializers.CharField(help_text="What the value is, and is not.")

    def to_representation(self, instance: results.Result) -> dict[str, Any]:
        """What does not apply to the domain is left out."""
        body = super().to_representation(instance)
        absent = {name for name in ("age_gap", "comparables") if body[name] is None}
        return {name: value for name, value in body.items() if name not in absent}


class Warning(serializers.Serializer[Any]):  # noqa: A001  # the contract's word
    feature = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class WhatIfSide(serializers.Serializer[Any]):
    value = serializers.FloatField()
    interval = Interval(allow_null=True)
    changed = serializers.JSONField(help_text="Each feature that differs, and its value as used.")


class WhatIfAnswer(serializers.Serializer[Any]):
    """Of a `what_ifs.Answer`, and how many are `left`."""

    value = serializers.FloatField(source="answer.after.value")
    interval = Interval(source="answer.after.interval", allow_null=True)
    changed = serializers.JSONField(
        source="answer.after.changed", help_text="Each feature that differs, and its value as used."
    )
    unit = serializers.CharField(source="answer.unit")
    warnings = Warning(source="answer.warnings", many=True)
    before = WhatIfSide(source="answer.before", help_text="The same of the task itself.")
    left = serializers.IntegerField(help_text="How many more the task may have.")


class TaskError(serializers.Serializer[Prediction]):
    code = serializers.ChoiceField(Prediction.Failure.values, source="failure")
    detail = serializers.CharField(source="get_failure_display")


# Made once: to copy their fields for each task of a page would cost more than to write it.
_WARNING, _RESULT, _ERROR = Warning(), Result(), TaskError()


class Task(serializers.Serializer[Any]):
    task_id = serializers.UUIDField(source="pk")
    status = serializers.ChoiceField(Prediction.Status.values)
    model_name = serializers.CharField(source="predictor.name")
    model_version = serializers.SerializerMethodField()
    domain = serializers.CharField(source="predictor.domain")
    price = serializers.SerializerMethodField(help_text="Credits; fixed when it is submitted.")
    charged = serializers.IntegerField()
    explain = serializers.BooleanField()
    data = serializers.JSONField(  # type: ignore[assignment]  # shadows a property; never read
        help_text="Every feature as used; of a draft, whatever was sent."
    )
    defaulted = serializers.ListField(child=serializers.CharField())
    entered = serializers.SerializerMethodField(
        help_text="Values sent in another unit, with the unit's own name."
    )
    warnings = serializers.SerializerMethodField()
    validation_errors = serializers.SerializerMethodField()
    position = serializers.IntegerField(
        allow_null=True,
        help_text="In the queue of its predictor, from 1; 1001 if more than a thousand are ahead; "
        "null unless queued.",
    )
    created_at = serializers.DateTimeField()
    queued_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    result = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    @classmethod
    def bodies(cls, rows: Sequence[Prediction]) -> list[dict[str, Any]]:
        """The task objects of some predictions, with one look at the queue for all of them."""
        positions.set_positions(rows)
        task = cls()
        return [task.to_representation(row) for row in rows]

    def get_model_version(self, row: Prediction) -> str:
        """Of a draft, that which would score it now."""
        current = row.predictor.current_version_id if _is_draft(row) else None
        return queries.summary_of(current or row.version_id).label

    def get_price(self, row: Prediction) -> int:
        return row.predictor.price if _is_draft(row) else row.price

    def get_entered(self, row: Prediction) -> dict[str, Any]:
        return row.entered or {}

    @extend_schema_field(Warning(many=True))
    def get_warnings(self, row: Prediction) -> Any:
        return [_WARNING.to_representation(warning) for warning in results.warnings_of(row)]

    def get_validation_errors(self, row: Prediction) -> dict[str, list[str]]:
        return services.validation_errors(row) if _is_draft(row) else {}

    @extend_schema_field(Result(allow_null=True))
    def get_result(self, row: Prediction) -> Any:
        result = results.result_of(row)
        return _RESULT.to_representation(result) if result else None

    @extend_schema_field(TaskError(allow_null=True))
    def get_error(self, row: Prediction) -> Any:
        return _ERROR.to_representation(row) if row.failure else None


def _is_draft(row: Prediction) -> bool:
    return row.status == Prediction.Status.DRAFT

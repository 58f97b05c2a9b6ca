"""Serializers of query strings, in which everything is text."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from carprice.http.serializers import StrictSerializer

FORMAT = "format"  # Django REST framework reads it: the representation that a client wants


class QuerySerializer(StrictSerializer):
    """The parameters of a query string: only known ones, each at most once."""

    @classmethod
    def check(cls, request: Request) -> dict[str, Any]:
        """The checked parameters, with the defaults of the others. Raises ValidationError."""
        parameters = request.query_params
        repeated = [name for name in parameters if len(parameters.getlist(name)) > 1]
        if repeated:
            raise serializers.ValidationError({name: ["Give this once."] for name in repeated})
        serializer = cls(data={name: parameters[name] for name in parameters if name != FORMAT})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class CountField(serializers.IntegerField):
    """A whole number from 1, in ASCII digits; one above `cap` counts as `cap`."""

    def __init__(self, *, cap: int, **kwargs: Any) -> None:
        super().__init__(min_value=1, **kwargs)
        self.cap = cap

    def to_internal_value(self, data: Any) -> int:
        text = str(data)
        if not (text.isascii() and text.isdecimal()):
            raise serializers.ValidationError("Enter a whole number from 1.")
        # The length is compared first, because Python refuses to convert thousands of digits.
        digits = text.lstrip("0")
        return self.cap if len(digits) > len(str(self.cap)) else min(int(digits or "0"), self.cap)


@extend_schema_field(
    {
        "type": "string",
        "format": "date-time",
        "pattern": r"^(19\d\d|[2-8]\d{3}|9[0-8]\d\d|99[0-8]\d|999[0-8])-",
        "description": "With its zone; exclusive.",
    }
)
class TimeField(serializers.DateTimeField):
    """A time in ISO 8601, with its zone."""

    low = datetime(1900, 1, 1, tzinfo=UTC)
    high = datetime(9999, 1, 1, tzinfo=UTC)

    def to_internal_value(self, data: Any) -> datetime:
        text = str(data)
        try:
            moment = parse_datetime(text) if text.isascii() and text.isprintable() else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise serializers.ValidationError(
                "Enter a time with its zone, such as 2026-01-31T12:00:00Z."
            )
        if not self.low <= moment < self.high:
            raise serializers.ValidationError("Enter a time of the years 1900 to 9998.")
        return moment.astimezone(UTC)


class SecondsField(serializers.FloatField):
    """A number of seconds from 0 to `max_value`."""

    def to_internal_value(self, data: Any) -> float:
        text = str(data)
        try:
            seconds = float(text) if text.isascii() and text.isprintable() else math.nan
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= (self.max_value or math.inf) or set(text) & set("_ "):
            raise serializers.ValidationError(f"Enter 0 to {self.max_value} seconds.")
        return seconds


class OneOfField(serializers.ChoiceField):
    """One of a few words; the error lists them."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        message = f"Choose one of: {', '.join(choices)}."
        super().__init__(choices, error_messages={"invalid_choice": message}, **kwargs)

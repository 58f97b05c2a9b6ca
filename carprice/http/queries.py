"""Query strings, where everything is text."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from carprice.http.serializers import StrictSerializer

# --- Query strings -------------------------------------------------------------------------------

FORMAT = "format"  # by which Django REST framework lets a client ask for a representation


class QuerySerializer(StrictSerializer):
    """The parameters of a query string: each of them known, and given once."""

    @classmethod
    def check(cls, request: Request) -> dict[str, Any]:
        """What is given, with the defaults of the rest. Raises ValidationError, naming each."""
        given = request.query_params
        repeated = [name for name in given if len(given.getlist(name)) > 1]
        if repeated:
            raise serializers.ValidationError({name: ["Give this once."] for name in repeated})
        serializer = cls(data={name: given[name] for name in given if name != FORMAT})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)


class CountField(serializers.IntegerField):
    """A whole number from 1 in ASCII digits; one above `cap` is taken as `cap`."""

    def __init__(self, *, cap: int, **kwargs: Any) -> None:
        super().__init__(min_value=1, **kwargs)
        self.cap = cap

    def to_internal_value(self, data: Any) -> int:
        text = str(data)
        if not (text.isascii() and text.isdecimal()):
            raise serializers.ValidationError("Enter a whole number from 1.")
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
    """One of a few words; a refusal lists them."""

    def __init__(self, choices: Sequence[str], **kwargs: Any) -> None:
        message = f"Choose one of: {', '.join(choices)}."
        super().__init__(choices, error_messages={"invalid_choice": message}, **kwargs)

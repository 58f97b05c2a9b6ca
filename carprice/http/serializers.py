"""A strict serializer, and fields that convert nothing: "1" is no integer, true is no number."""

from typing import Any

from rest_framework import serializers

from carprice.http.errors import unknown


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses unknown fields, naming the first of them."""

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, dict) else {}
        errors: dict[str, Any] = {**unknown([n for n in names if n not in self.fields], "field")}
        try:
            value = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            errors = {**error.detail, **errors}
        if errors:
            raise serializers.ValidationError(errors)
        return value


LONGEST_SENT = 4  # times its maximum: as much shorter a text may become when it is normalized


class StringField(serializers.CharField):
    """A JSON string, with its white space as it was sent."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > LONGEST_SENT * self.max_length:
            # Before anything else is done with it, which may cost more the longer it is.
            message = self.error_messages["max_length"].format(max_length=self.max_length)
            raise serializers.ValidationError(message)
        return super().to_internal_value(data)


class IntegerField(serializers.IntegerField):
    """A JSON integer; booleans and floats are not."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class BooleanField(serializers.BooleanField):
    """A JSON boolean; "true" and 1 are not."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("Send true or false.")
        return data

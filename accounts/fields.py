"""A person's name and e-mail address, as the API takes them."""

from typing import Any

from django.core.validators import EmailValidator
from drf_spectacular.utils import extend_schema_field

from carprice.http.serializers import StringField


@extend_schema_field(
    {"type": "string", "minLength": 1, "maxLength": 150, "pattern": r"\S"}  # not all blank
)
class NameField(StringField):
    """A person's name: 1 to 150 characters that are not all blank."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=150, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data).strip()
        if not value:
            self.fail("blank")
        return value


class EmailAddressField(StringField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=254, **kwargs)
        self.validators.append(EmailValidator(message="Enter a valid e-mail address."))

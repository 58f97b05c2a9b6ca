"""What the routes about accounts and tokens take and answer."""

from typing import Any

from django.core.validators import EmailValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import User
from accounts.normalization import (
    ADDRESS_LENGTH,
    NAME_LENGTH,
    PASSWORD_LENGTH,
    normalize_address,
    normalize_password,
    validate_address,
    validate_name,
    validate_password_length,
)
from accounts.tokens import Grant
from carprice.http.serializers import StrictSerializer, StringField

# --- Fields --------------------------------------------------------------------------------------


@extend_schema_field(
    {
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_LENGTH,
        # No control characters, and none that change the direction of text
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
        "description": "With a visible character.",
    }
)
class NameField(StringField):
    """A person's name: 1 to 150 characters, one of them visible."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=NAME_LENGTH, **kwargs)
        self.validators.append(validate_name)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data).strip()
        if not value:
            self.fail("blank")
        return value


class AddressField(StringField):
    """An e-mail address as somebody types it, which need not be anybody's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=ADDRESS_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return normalize_address(super().to_internal_value(data))


class NewAddressField(AddressField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(help_text="Kept with its domain in ASCII (IDNA 2008).", **kwargs)
        self.validators += [
            EmailValidator(message="Enter a valid e-mail address."),
            validate_address,
        ]


@extend_schema_field(
    {
        "type": "string",
        "minLength": 8,
        "maxLength": PASSWORD_LENGTH,
        "pattern": "[^0-9]",
        "description": "Neither common nor like the name or the address. Counted in NFKC.",
    }
)
class NewPasswordField(StringField):
    """A password that Django's validators have yet to accept."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=8, max_length=PASSWORD_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return normalize_password(super().to_internal_value(data))


@extend_schema_field({"type": "string", "minLength": 1, "maxLength": PASSWORD_LENGTH})
class PasswordField(StringField):
    """A password as it is typed, which need not be anybody's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.validators.append(validate_password_length)


# --- Requests ------------------------------------------------------------------------------------


class SignUpRequest(StrictSerializer):
    name = NameField()
    email = NewAddressField()
    password = NewPasswordField()


class RegisterRequest(SignUpRequest):
    name = NameField(required=False)


class SignInRequest(StrictSerializer):
    email = AddressField()
    password = PasswordField()


class PasswordForm(StrictSerializer):
    """The token request of OAuth2's password flow (RFC 6749, 4.3.2). There are no clients to tell
    apart and no scopes to grant, so those fields are taken and not looked at.
    """

    grant_type = serializers.ChoiceField(["password"], required=False)
    username = AddressField(help_text="The e-mail address.")
    password = PasswordField()
    scope = StringField(max_length=1000, required=False, allow_blank=True)
    client_id = StringField(max_length=1000, required=False, allow_blank=True)
    client_secret = StringField(max_length=1000, required=False, allow_blank=True)


class RefreshRequest(StrictSerializer):
    refresh_token = StringField(max_length=2000)


# --- Answers -------------------------------------------------------------------------------------


class Profile(serializers.Serializer[User]):
    name = serializers.CharField()
    email = serializers.EmailField()


class UserProfile(serializers.Serializer[User]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    email = serializers.EmailField()


class AccessGrant(serializers.Serializer[Grant]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    name = serializers.CharField(source="session.user.name")
    email = serializers.EmailField(source="session.user.email")


class TokenPair(serializers.Serializer[Grant]):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField(help_text="Good once, for 14 days.")
    token_type = serializers.ChoiceField(["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds that the access token is good for.")

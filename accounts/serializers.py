"""What the routes about accounts and tokens take and answer."""

from typing import Any

from django.core.validators import EmailValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import User
from accounts.tokens import Grant
from carprice.http.serializers import StrictSerializer, StringField

# --- Fields --------------------------------------------------------------------------------------


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


@extend_schema_field(
    {
        "type": "string",
        "minLength": 8,
        "maxLength": 128,
        "pattern": "[^0-9]",
        "description": "Neither common nor like the name or the address.",
    }
)
class NewPasswordField(StringField):
    """A password that Django's validators have yet to accept."""


# --- Requests ------------------------------------------------------------------------------------


class SignUpRequest(StrictSerializer):
    name = NameField()
    email = EmailAddressField()
    password = NewPasswordField(min_length=8, max_length=128)


class RegisterRequest(SignUpRequest):
    name = NameField(required=False)


class SignInRequest(StrictSerializer):
    email = StringField(max_length=254)
    password = StringField(max_length=128)


class PasswordForm(StrictSerializer):
    """The token request of OAuth2's password flow (RFC 6749, 4.3.2). There are no clients to tell
    apart and no scopes to grant, so those fields are taken and not looked at.
    """

    grant_type = serializers.ChoiceField(["password"], required=False)
    username = StringField(max_length=254, help_text="The e-mail address.")
    password = StringField(max_length=128)
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

from typing import Any

from rest_framework import serializers

from accounts.keys.models import ApiKey
from accounts.keys.services import MOST_DAYS
from accounts.serializers import NameField
from carprice.http.serializers import IntegerField, StrictSerializer


class KeyRequest(StrictSerializer):
    name = NameField(help_text="What you will know the key by.")
    access = serializers.ChoiceField(
        ApiKey.Access.values, help_text="`read` is good for GET, HEAD and OPTIONS alone."
    )
    expires_in_days = IntegerField(
        min_value=1, max_value=MOST_DAYS, required=False, help_text="Left out: it does not expire."
    )


class KeyProfile(serializers.Serializer[ApiKey]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    access = serializers.ChoiceField(ApiKey.Access.values)
    prefix = serializers.CharField(help_text="How the key begins.")
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


class NewKey(KeyProfile):
    key = serializers.CharField(source="text", help_text="Shown this once; keep it.")


KEY_EXAMPLE: dict[str, Any] = {
    "id": "3f0c2f4e-6a5b-4d0e-9f58-0c4a2b7f1d11",
    "name": "Nightly batch",
    "access": "write",
    "prefix": "cp_5e9a01c7",
    "created_at": "2026-01-31T12:00:00Z",
    "expires_at": None,
    "last_used_at": None,
}

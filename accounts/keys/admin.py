from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest

from accounts.keys import services
from accounts.keys.models import ApiKey, ApiKeyQuerySet
from accounts.models import User
from carprice.pages.admin import ReadOnlyAdmin


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys, which an operator may revoke; like users, only those of customers for no superuser."""

    list_display = [
        "__str__", "user", "access", "created_at", "last_used_at", "expires_at", "revoked_at",
    ]  # fmt: skip
    list_filter = ["access", "created_at"]
    list_select_related = ["user"]
    search_fields = ["prefix", "user__email"]
    ordering = ["-created_at"]
    exclude = ["digest"]
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> Any:
        keys = super().get_queryset(request)
        if request.user.is_superuser:
            return keys
        return keys.filter(
            **{f"user__{field}": value for field, value in User.WITHOUT_RIGHTS.items()}
        )

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("keys.change_apikey")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: ApiKeyQuerySet) -> None:
        for key in keys.filter(revoked_at=None):
            if services.revoke(ApiKey.objects.filter(pk=key.pk)):
                self.log_change(request, key, "Revoked.")
        messages.success(request, "The keys are revoked.")

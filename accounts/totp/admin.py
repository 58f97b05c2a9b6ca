from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.totp import services
from accounts.totp.models import Authenticator
from carprice.pages.admin import ReadOnlyAdmin


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """For superusers: to delete one is to reset it, and ends its owner's sessions. It is logged."""

    list_display = ["user", "confirmed_at"]
    list_select_related = ["user"]
    fields = ["user", "confirmed_at"]
    search_fields = ["user__email"]
    ordering = ["user__email"]
    actions = None

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        services.reset(obj.user)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Recovery codes go with it; they are no rows of the admin, for which one needs a right."""
        names, counts, _, protected = super().get_deleted_objects(objs, request)
        return names, counts, set(), protected

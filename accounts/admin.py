from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

from accounts.forms import AddressField
from accounts.models import TokenSession, User
from carprice.pages.admin import LoggedValues, ReadOnlyAdmin

admin.site.unregister(Group)  # it would give rights to whoever may edit one
admin.site.site_header = admin.site.site_title = "Carprice"
admin.site.index_title = "Operation"


class UserForm(UserChangeForm):  # type: ignore[type-arg]  # generic only in the stubs
    """Somebody can always give rights: the last superuser stays one."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        was = self.instance.is_superuser and self.instance.is_active
        stays = cleaned.get("is_superuser", True) and cleaned.get("is_active", True)
        if was and not stays and not self._has_others():
            raise ValidationError("This is the last superuser who may sign in; make another first.")
        return cleaned

    def _has_others(self) -> bool:
        """Locked in one order, so that of two who take each other's rights one is refused."""
        superusers = User.objects.filter(is_superuser=True, is_active=True).order_by("pk")
        keys = superusers.select_for_update(no_key=True).values_list("pk", flat=True)
        return any(key != self.instance.pk for key in keys)


@admin.register(User)
class UserAdmin(LoggedValues, DjangoUserAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """Users. Who is no superuser has customers alone, without the fields that give rights.

    Otherwise operators who may change users could make themselves superusers, or set the password
    of one. What the queryset leaves out does not exist for any page: list, form, password, history,
    actions, autocompletion.
    """

    form = UserForm
    private_fields = ["email", "name", "password"]
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    readonly_fields = ["date_joined", "last_login"]
    filter_horizontal = ["groups", "user_permissions"]
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.EmailField: {"form_class": AddressField}
    }
    fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        (
            "Access",
            {"fields": ["is_active", "is_staff", "is_superuser", "groups", "user_permissions"]},
        ),
        ("Dates", {"fields": ["date_joined", "last_login"]}),
    ]
    customer_fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        ("Access", {"fields": ["is_active"]}),
        ("Dates", {"fields": ["date_joined", "last_login"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "name", "usable_password", "password1", "password2"]})
    ]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[User]:
        users = super().get_queryset(request)
        return users if _by_superuser(request) else users.filter(**User.WITHOUT_RIGHTS)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or _by_superuser(request):
            return super().get_fieldsets(request, obj)
        return self.customer_fieldsets

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return _without_rights(super().get_list_display(request), request)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return _without_rights(super().get_list_filter(request), request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # money and history stay; an account is closed by deactivating it


def _without_rights(fields: Sequence[Any], request: HttpRequest) -> list[Any]:
    everything = _by_superuser(request)
    return [field for field in fields if everything or field not in User.WITHOUT_RIGHTS]


def _by_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


@admin.register(TokenSession)
class TokenSessionAdmin(ReadOnlyAdmin):
    """Sign-ins of clients; those of operators are for superusers, as in the list of users."""

    list_display = ["id", "user", "created_at", "expires_at", "ended_at"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    fields = ["user", "created_at", "expires_at", "ended_at"]
    ordering = ["-created_at"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[TokenSession]:
        sessions = super().get_queryset(request)
        if _by_superuser(request):
            return sessions
        of_customers = {f"user__{name}": value for name, value in User.WITHOUT_RIGHTS.items()}
        return sessions.filter(**of_customers)


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """What operators did: written by the admin itself, and changed by nobody in it."""

    list_display = ["action_time", "user", "action_flag", "content_type", "object_repr", "what"]
    list_filter = ["action_flag", "content_type", "action_time"]
    list_select_related = ["user", "content_type"]
    search_fields = ["user__email"]
    fields = ["action_time", "user", "action_flag", "content_type", "object_id", "object_repr"]
    fields += ["what"]
    readonly_fields = ["what"]
    ordering = ["-id"]

    @admin.display(description="what")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message()

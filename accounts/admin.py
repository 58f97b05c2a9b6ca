from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import models
from django.http import HttpRequest

from accounts.forms import AddressField
from accounts.models import User

admin.site.unregister(Group)  # it would give rights to whoever may edit one
admin.site.site_header = admin.site.site_title = "Carprice"
admin.site.index_title = "Operation"


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """Users. Who is no superuser has customers alone, without the fields that give rights.

    Otherwise operators who may change users could make themselves superusers, or set the password
    of one. What the queryset leaves out does not exist for any page: list, form, password, history,
    actions, autocompletion.
    """

    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "date_joined"]
    list_filter = ["is_active", "is_staff"]
    search_fields = ["email", "name"]
    readonly_fields = ["date_joined", "last_login"]
    filter_horizontal = ["user_permissions"]
    formfield_overrides: ClassVar[dict[Any, Any]] = {
        models.EmailField: {"form_class": AddressField}
    }
    fieldsets = [
        (None, {"fields": ["email", "name", "password"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "user_permissions"]}),
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

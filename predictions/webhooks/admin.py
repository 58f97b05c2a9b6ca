from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from carprice.pages.admin import ReadOnlyAdmin
from predictions.webhooks import services
from predictions.webhooks.models import Delivery, Endpoint


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Without what secrets are derived from."""

    list_display = ["url", "user", "created_at", "disabled_because", "failing_since"]
    list_filter = ["disabled_because"]
    list_select_related = ["user"]
    search_fields = ["url", "user__email"]
    ordering = ["-created_at"]
    fields = [
        "id", "user", "url", "created_at", "disabled_at", "disabled_because", "failing_since",
        "busy_until",
    ]  # fmt: skip
    actions = ["switch_off"]

    def has_switch_off_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("webhooks.change_endpoint")

    @admin.action(description="Switch off", permissions=["switch_off"])
    def switch_off(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for endpoint in queryset:
            self.log_change(request, endpoint, "Switched off.")
        count = services.switch_off(queryset)
        self.message_user(request, f"{count} switched off.", messages.SUCCESS)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["id", "endpoint", "kind", "state", "attempts", "last_status", "created_at"]
    list_filter = ["state", "last_failure"]
    list_select_related = ["endpoint"]
    search_fields = ["=id", "=prediction_id", "=endpoint__id"]
    ordering = ["-created_at"]

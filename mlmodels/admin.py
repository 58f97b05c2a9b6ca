from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from carprice.pages.admin import ReadOnlyAdmin
from carprice.pages.forms import IntegerField
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor, PredictorQuerySet, PredictorVersion, PriceChange


class PriceChangeInline(admin.TabularInline):  # type: ignore[type-arg]  # generic only in the stubs
    """Who set which price, and when."""

    model = PriceChange
    fields = ["created_at", "previous", "price", "actor"]
    readonly_fields = ["created_at", "previous", "price", "actor"]
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Predictor)
class PredictorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """Prices and what is on sale; everything else comes from training."""

    list_display = ["name", "domain", "title", "price", "enabled", "current_version", "fault"]
    list_filter = ["domain", "enabled"]
    fields = [
        "name", "domain", "title", "algorithm", "price", "enabled", "current_version", "fault"
    ]  # fmt: skip
    readonly_fields = ["name", "domain", "title", "algorithm", "current_version", "fault"]
    inlines = [PriceChangeInline]
    formfield_overrides = {
        models.PositiveIntegerField: {
            "form_class": IntegerField,
            "min_value": 1,
            "max_value": pricing.HIGHEST_PRICE,
        }
    }

    def get_queryset(self, request: HttpRequest) -> PredictorQuerySet:
        return Predictor.objects.with_version()

    @admin.display(description="why it cannot be sold")
    def fault(self, predictor: Predictor) -> str:
        return predictor.current_version.fault if predictor.current_version else "not trained"

    def save_model(self, request: HttpRequest, obj: Predictor, form: Any, change: bool) -> None:
        Predictor.objects.filter(pk=obj.pk).update(enabled=obj.enabled)
        if "price" in form.changed_data:
            pricing.set_price(
                predictor_id=obj.pk,
                price=obj.price,
                actor=request.user,  # type: ignore[arg-type]  # an operator is signed in
            )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(PredictorVersion)
class PredictorVersionAdmin(ReadOnlyAdmin):
    list_display = ["predictor", "label", "trained_at", "sklearn_version", "fault"]
    list_filter = ["predictor"]
    list_select_related = ["predictor"]
    exclude = ["report"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[PredictorVersion]:
        return super().get_queryset(request).defer(*PredictorVersion.LARGE)

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.template.loader import render_to_string

from carprice.pages.admin import LoggedValues, ReadOnlyAdmin
from carprice.pages.forms import IntegerField
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor, PredictorQuerySet, PredictorVersion

LARGEST_FACTOR = 3  # by which a price changes without a question
SHOWN_CHANGES = 50


class PredictorForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only in the stubs
    """A price far from the old one is asked about once more."""

    pinned = forms.BooleanField(
        required=False, help_text="Training leaves the price as it is. What you set is pinned."
    )
    confirm = forms.BooleanField(
        required=False,
        label=f"More than {LARGEST_FACTOR} times the old price, or less than a third, is meant",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["pinned"] = self.instance.price_set_by_id is not None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        price, old = cleaned.get("price"), self.initial.get("price")
        if price and old and not cleaned.get("confirm"):
            factor = max(price / old, old / price)
            if factor > LARGEST_FACTOR:
                self.add_error("price", f"The price was {old:,}: confirm below that this is meant.")
        return cleaned


@admin.register(Predictor)
class PredictorAdmin(LoggedValues, admin.ModelAdmin):  # type: ignore[type-arg]  # generic only in the stubs
    """Prices and what is on sale; everything else comes from training."""

    list_display = ["name", "domain", "title", "price", "is_pinned", "enabled", "fault"]
    list_filter = ["domain", "enabled"]
    form = PredictorForm
    fields = [
        "name", "domain", "title", "algorithm", "price", "confirm", "pinned", "enabled",
        "current_version", "fault", "price_history",
    ]  # fmt: skip
    readonly_fields = [
        "name", "domain", "title", "algorithm", "current_version", "fault", "price_history",
    ]  # fmt: skip
    formfield_overrides = {
        models.PositiveIntegerField: {
            "form_class": IntegerField,
            "min_value": 1,
            "max_value": pricing.HIGHEST_PRICE,
        }
    }

    def get_queryset(self, request: HttpRequest) -> PredictorQuerySet:
        return Predictor.objects.with_version()

    @admin.display(description="pinned", boolean=True)
    def is_pinned(self, predictor: Predictor) -> bool:
        return predictor.price_set_by_id is not None

    @admin.display(description="why it cannot be sold")
    def fault(self, predictor: Predictor) -> str:
        return predictor.current_version.fault if predictor.current_version else "not trained"

    def price_history(self, predictor: Predictor) -> str:
        """Who set which price, and when."""
        changes = list(predictor.price_changes.select_related("actor")[:SHOWN_CHANGES])
        return render_to_string("admin/price_history.html", {"changes": changes})

    def save_model(self, request: HttpRequest, obj: Predictor, form: Any, change: bool) -> None:
        Predictor.objects.filter(pk=obj.pk).update(enabled=obj.enabled)
        actor: Any = request.user  # an operator is signed in
        if "price" in form.changed_data:
            pricing.set_price(predictor_id=obj.pk, price=obj.price, actor=actor)
        elif "pinned" in form.changed_data and form.cleaned_data["pinned"]:
            pricing.pin(predictor_id=obj.pk, actor=actor)
        elif "pinned" in form.changed_data:
            pricing.unpin(predictor_id=obj.pk)

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

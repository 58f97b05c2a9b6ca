from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from carprice.pages.admin import ReadOnlyAdmin
from predictions.audit import check
from predictions.models import Heartbeat, Prediction, WhatIf


class StatusFilter(admin.SimpleListFilter):
    """All that were ever submitted, in their order, which an index has; drafts by themselves.

    That index has drafts, which hold nothing, before all others; where it can, a query steps over
    them. A draft may have been canceled.
    """

    title = "status"
    parameter_name = "status"
    STATUSES_OF_DRAFTS = (Prediction.Status.DRAFT, Prediction.Status.CANCELED)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Prediction.Status.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        status = self.value()
        if status not in self.STATUSES_OF_DRAFTS:
            queryset = queryset.exclude(hold=None)
        return queryset.filter(status=status) if status else queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        submitted, *others = super().choices(changelist)
        yield {**submitted, "display": "All submitted"}
        yield from others


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ["id", "user", "predictor", "status", "price", "value", "queued_at", "failure"]
    list_filter = [StatusFilter, "predictor", "failure", "queued_at"]
    list_select_related = ["user", "predictor"]
    search_fields = ["id", "user__email"]

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """An index of its own for all of them could lead PostgreSQL to use it for a user's too."""
        is_of_drafts = request.GET.get(StatusFilter.parameter_name) == Prediction.Status.DRAFT
        return ["-created_at"] if is_of_drafts else ["-hold"]


@admin.register(WhatIf)
class WhatIfAdmin(ReadOnlyAdmin):
    list_display = ["id", "prediction", "created_at", "value", "failure"]
    list_filter = ["failure", "created_at"]
    ordering = ["-created_at"]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ["worker", "beat_at"]


@admin.site.admin_view
@permission_required("billing.view_ledgerentry", raise_exception=True)
def audit(request: HttpRequest) -> HttpResponse:
    """A button that checks every invariant, and the findings."""
    findings = check() if request.method == "POST" else []
    context = {
        **admin.site.each_context(request),
        "title": "Audit",
        "findings": findings,
        "seconds": sum(finding.seconds for finding in findings),
    }
    return TemplateResponse(request, "admin/audit.html", context)

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.decorators import permission_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe

from billing.models import LedgerEntry
from carprice.pages.admin import ReadOnlyAdmin
from mlmodels.admin import PredictorAdmin
from mlmodels.models import Predictor
from predictions import dashboard
from predictions.audit import Finding, check, record
from predictions.models import AuditRun, Heartbeat, Prediction, WhatIf

MOST_COUNTED = 10_000


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
    list_display = ["__str__", "user", "predictor", "status", "price", "queued_at", "failure"]
    list_filter = [StatusFilter, "predictor", "failure", "queued_at"]
    list_select_related = ["user", "predictor"]
    search_fields = ["id", "user__email"]

    readonly_fields = ["timeline"]

    @admin.display(description="Timeline")
    def timeline(self, row: Prediction) -> str:
        """What happened to it and to its credits, in the order of time."""
        return format_html_join(
            mark_safe("<br>"),
            "{} UTC: {}",
            ((f"{at:%Y-%m-%d %H:%M:%S.%f}", what) for at, what in _events(row)),
        )

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """An index of its own for all of them could lead PostgreSQL to use it for a user's too."""
        is_of_drafts = request.GET.get(StatusFilter.parameter_name) == Prediction.Status.DRAFT
        return ["-created_at"] if is_of_drafts else ["-hold"]


def _events(row: Prediction) -> list[tuple[datetime, str]]:
    moments = [
        (row.created_at, "created"),
        (row.queued_at, f"queued for {row.price:,} credits"),
        (row.started_at, f"started, attempt {row.attempts}"),
        (row.finished_at, f"{row.status} {row.failure}".strip()),
        (row.erased_at, "deleted by its user"),
    ]
    entry: LedgerEntry | None = row.hold
    while entry is not None:
        change = entry.balance_change or entry.held_change
        moments.append((entry.created_at, f"{entry.get_kind_display()} of {abs(change):,} credits"))
        entry = LedgerEntry.objects.filter(resolves=entry).first()
    return sorted((at, what) for at, what in moments if at is not None)


class PricedAdmin(PredictorAdmin):
    """A predictor with what waits for it: that keeps the price at which it was submitted."""

    fields = [*PredictorAdmin.fields, "waiting"]
    readonly_fields = [*PredictorAdmin.readonly_fields, "waiting"]

    @admin.display(description="Predictions that keep their price")
    def waiting(self, predictor: Predictor) -> str:
        active = Prediction.objects.filter(
            version_id=predictor.current_version_id, status__in=Prediction.ACTIVE
        )
        count = active[:MOST_COUNTED].count()
        more = " or more" if count == MOST_COUNTED else ""
        return f"{count:,}{more} that wait or run now keep the price they were submitted at."


admin.site.unregister(Predictor)
admin.site.register(Predictor, PricedAdmin)


@admin.register(AuditRun)
class AuditRunAdmin(ReadOnlyAdmin):
    list_display = ["ended_at", "breaches", "seconds", "accounts", "balance", "held"]
    ordering = ["-ended_at"]


@admin.register(WhatIf)
class WhatIfAdmin(ReadOnlyAdmin):
    list_display = ["id", "prediction", "created_at", "value", "failure"]
    list_filter = ["failure", "created_at"]
    ordering = ["-created_at"]


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ["worker", "beat_at"]


@admin.site.admin_view
def index(request: HttpRequest) -> HttpResponse:
    """The admin's first page, with what an operator asks each morning."""
    may_see = request.user.has_perms(["billing.view_ledgerentry", "predictions.view_prediction"])
    return admin.site.index(request, {"dashboard": dashboard.read() if may_see else None})


@admin.site.admin_view
@permission_required("billing.view_ledgerentry", raise_exception=True)
def audit(request: HttpRequest) -> HttpResponse:
    """A button that checks every invariant, and the findings."""
    findings = _audit_by(request.user) if request.method == "POST" else []
    context = {
        **admin.site.each_context(request),
        "title": "Audit",
        "findings": findings,
        "seconds": sum(finding.seconds for finding in findings),
    }
    return TemplateResponse(request, "admin/audit.html", context)


def _audit_by(operator: Any) -> list[Finding]:
    findings = check()
    run = record(findings)
    LogEntry.objects.log_actions(
        operator.pk, [run], ADDITION, f"Found {run.breaches:,} breaches.", single_object=True
    )
    return findings

from django.contrib import admin
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from carprice.pages.admin import ReadOnlyAdmin
from predictions.audit import check
from predictions.models import Heartbeat, Prediction, WhatIf


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = ["id", "user", "predictor", "status", "price", "value", "queued_at", "failure"]
    list_filter = ["status", "predictor", "failure", "queued_at"]
    list_select_related = ["user", "predictor"]
    search_fields = ["id", "user__email"]
    ordering = ["-created_at"]


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

"""A person's predictions."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.authentication import signed_in
from billing.models import CreditAccount
from carprice.http.pagination import CursorPages, Page
from carprice.pages.views import is_htmx, signed_in_fragment
from predictions.models import Prediction, PredictionQuerySet
from predictions.pages.forms import HistoryFilter
from predictions.pages.presentation import history_lines

Status = Prediction.Status

PAGE_SIZE = 25
DRAFTS_SHOWN = 5  # above what has ended; the filter shows them all
PAGES = CursorPages("predictions", order=("created_at", "id"))


@require_safe
@signed_in_fragment
def history(request: HttpRequest) -> HttpResponse:
    """What runs now, drafts, and a page of what ended; or a page of one status."""
    user = signed_in(request)
    filters = HistoryFilter(request.GET)
    filters.full_clean()
    rows = Prediction.objects.of(user).for_display().defer("data")
    status, predictor = filters.chosen("status"), filters.chosen("predictor")
    if predictor:
        rows = rows.filter(predictor__name=predictor)
    lists = _of_status(request, rows, status) if status else _all(request, rows)
    context = {"filter": filters, "is_filtered": any(filters.cleaned_data.values()), **lists}
    template = "predictions/history.html"
    if is_htmx(request):
        template = "predictions/_history.html"
        context["wallet"] = CreditAccount.objects.get(pk=user.pk)
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _of_status(request: HttpRequest, rows: PredictionQuerySet, status: str) -> dict[str, Any]:
    """One list with pages."""
    page = _page(request, rows.filter(status=status))
    is_active = status in Prediction.ACTIVE
    amount = "Held" if is_active else "Price" if status == Status.DRAFT else "Charged"
    return {
        **_listed(page, Status(status).label, amount),
        "is_live": is_active and bool(page.rows),
    }


def _all(request: HttpRequest, rows: PredictionQuerySet) -> dict[str, Any]:
    """What has ended in pages; what runs and drafts are above it, on the first page alone."""
    page = _page(request, rows.filter(status__in=Prediction.ENDED))
    listed = _listed(page, "Ended", "Charged")
    if page.previous:
        return listed
    active, drafts = rows.active(), rows.filter(status=Status.DRAFT)
    active_count = active.count()
    newest_drafts = history_lines(drafts.newest_first()[: DRAFTS_SHOWN + 1])
    return listed | {
        "active": history_lines(active.newest_first()[:PAGE_SIZE]),
        "active_count": active_count,
        "drafts": newest_drafts[:DRAFTS_SHOWN],
        "has_more_drafts": len(newest_drafts) > DRAFTS_SHOWN,
        "is_live": active_count > 0,
    }


def _listed(page: Page[Prediction], title: str, amount: str) -> dict[str, Any]:
    """The list that has pages; `amount` heads its last column."""
    return {"page": page, "listed": history_lines(page.rows), "title": title, "amount": amount}


def _page(request: HttpRequest, rows: PredictionQuerySet) -> Page[Prediction]:
    return PAGES.page_or_first(rows, signed_in(request).pk, request.GET.get("cursor"), PAGE_SIZE)

"""A person's predictions."""

from contextlib import suppress
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from accounts.authentication import signed_in
from carprice.http.errors import InvalidInput
from carprice.http.pagination import CursorPages, Page
from carprice.pages.views import is_htmx, signed_in_fragment
from predictions.models import Prediction, PredictionQuerySet
from predictions.pages.forms import HistoryFilter

Status = Prediction.Status

PAGE_SIZE = 25

DRAFTS_SHOWN = 5  # above what has ended; the filter shows them all

PAGES = CursorPages("predictions", order=("created_at", "id"))


@require_safe
@signed_in_fragment
def history(request: HttpRequest) -> HttpResponse:
    """What runs now, drafts, and a page of what ended; or a page of one status."""
    chosen = HistoryFilter(request.GET)
    chosen.full_clean()
    rows = Prediction.objects.of(signed_in(request)).for_display().defer("data")
    if chosen.predictor_chosen:
        rows = rows.filter(predictor__name=chosen.predictor_chosen)
    lists = _listed(request, rows, chosen.status_chosen)
    context = {"filter": chosen, "is_filtered": any(chosen.cleaned_data.values()), **lists}
    template = "predictions/_history.html" if is_htmx(request) else "predictions/history.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _listed(request: HttpRequest, rows: PredictionQuerySet, status: str) -> dict[str, Any]:
    """The lists of the history; `amount` heads the last column of the one that has pages."""
    if status:
        page = _page(request, rows.filter(status=status))
        is_active = status in Prediction.ACTIVE
        amount = "Held" if is_active else "Price" if status == Status.DRAFT else "Charged"
        return {
            "page": page,
            "title": Status(status).label,
            "amount": amount,
            "is_live": is_active and page.rows,
        }
    ended = _page(request, rows.filter(status__in=Prediction.ENDED))
    listed = {"page": ended, "title": "Ended", "amount": "Charged"}
    if ended.previous:  # what comes before is on the first page
        return listed
    active, drafts = rows.active(), rows.filter(status=Status.DRAFT)
    active_count = active.count()
    return listed | {
        "active": active.newest_first()[:PAGE_SIZE],
        "active_count": active_count,
        "drafts": drafts.newest_first()[:DRAFTS_SHOWN],
        "draft_count": drafts.count(),
        "is_live": active_count > 0,
    }


def _page(request: HttpRequest, rows: PredictionQuerySet) -> Page[Prediction]:
    """The page that the address asks for; the first, if there is none such or no more."""
    user_id = signed_in(request).pk
    with suppress(InvalidInput):
        page = PAGES.page(rows, user_id, request.GET.get("cursor"), PAGE_SIZE)
        if page.rows:
            return page
    return PAGES.page(rows, user_id, None, PAGE_SIZE)

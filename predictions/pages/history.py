"""A person's predictions: in pages, as a chart, as a file, several beside each other."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from accounts.authentication import signed_in
from accounts.models import User
from billing.models import CreditAccount
from carprice.http import throttling
from carprice.http.converters import parse_id
from carprice.http.errors import NotFound
from carprice.http.pagination import CursorPages, Page
from carprice.idempotency.forms import submit_once
from carprice.pages.csv_files import csv_response
from carprice.pages.views import is_htmx, missing_is_404, signed_in_fragment
from predictions import results, services
from predictions.models import Prediction, PredictionQuerySet
from predictions.pages.forms import HistoryFilter
from predictions.pages.lists import comparison_of, history_chart, history_lines
from predictions.pages.presentation import scale_of, title_of

Status = Prediction.Status

PAGE_SIZE = 25
DRAFTS_SHOWN = 5  # above what has ended; the filter shows them all
CHARTED = 100  # of the newest results
COMPARED = 4  # at most
BATCH = 1000  # rows of a file that are read at once
PAGES = CursorPages("predictions", order=("created_at", "id"))
COLUMNS = (
    "id", "label", "case", "domain", "predictor", "version", "status", "value", "unit", "low",
    "high", "charged", "created_at", "finished_at",
)  # fmt: skip


@require_safe
@signed_in_fragment
def history(request: HttpRequest) -> HttpResponse:
    """What runs now, drafts, and a page of what ended; or a page of one status."""
    user = signed_in(request)
    filters, rows = _filtered(request)
    status = filters.chosen("status")
    lists = _of_status(request, rows, status) if status else _all(request, rows)
    context = {
        "filter": filters,
        "is_filtered": any(filters.cleaned_data.values()),
        "can_be_chosen": not lists["is_live"] and status not in (*Prediction.ACTIVE, Status.DRAFT),
        **lists,
    }
    template = "predictions/history.html"
    if is_htmx(request):
        template = "predictions/_history.html"
        context["wallet"] = CreditAccount.objects.get(pk=user.pk)
    else:
        context["chart"] = _chart(rows, context)
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """What the filter shows, drafts aside, as a table for a spreadsheet."""
    throttling.count_request(request, "other")
    filters, rows = _filtered(request)
    if status := filters.chosen("status"):
        rows = rows.filter(status=status)
    return csv_response("carprice-predictions.csv", COLUMNS, _cells(rows.exclude(queued_at=None)))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@missing_is_404
def chosen(request: HttpRequest) -> HttpResponse:
    """Several predictions that were ticked: beside each other, or about to be deleted."""
    user = signed_in(request)
    sent = request.POST if request.method == "POST" else request.GET
    keys = sorted({parse_id(key) for key in sent.getlist("id")[:PAGE_SIZE]})
    if request.method == "POST":
        return _delete(request, user, keys)
    rows = [services.find(user, key) for key in keys]
    if not rows:
        messages.info(request, _("Choose predictions in the list first."))
        return redirect("predictions")
    if sent.get("do") == "delete":
        lines = history_lines(rows)
        context = {"lines": lines, "form_key": uuid4()}
        return render(request, "predictions/delete_chosen.html", context)
    if len(rows) < 2 or len(rows) > COMPARED:
        sentence = _("Choose two to %(most)d predictions to compare.")
        messages.info(request, sentence % {"most": COMPARED})
        return redirect("predictions")
    return render(request, "predictions/compare.html", {"comparison": comparison_of(rows)})


def _delete(request: HttpRequest, user: User, keys: list[UUID]) -> HttpResponse:
    """Those of them that are there and have ended."""
    deleted: list[UUID] = []

    @transaction.atomic
    def erase() -> str:
        rows = Prediction.objects.of(user).filter(pk__in=keys, status__in=Prediction.ENDED)
        ended = set(rows.values_list("pk", flat=True))
        for key in sorted(ended):  # in one order, as rows are locked
            with suppress(NotFound):
                services.erase(user=user, prediction_id=key)
                deleted.append(key)
        return reverse("predictions")

    address, is_first = submit_once(request, erase)
    if is_first:
        sentence = ngettext("%(count)d deleted.", "%(count)d deleted.", len(deleted))
        messages.success(request, sentence % {"count": len(deleted)})
    return redirect(address)


def _filtered(request: HttpRequest) -> tuple[HistoryFilter, PredictionQuerySet]:
    filters = HistoryFilter(request.GET)
    filters.full_clean()
    rows = Prediction.objects.of(signed_in(request)).for_display().defer("explanation")
    if predictor := filters.chosen("predictor"):
        rows = rows.filter(predictor__name=predictor)
    return filters, rows


def _of_status(request: HttpRequest, rows: PredictionQuerySet, status: str) -> dict[str, Any]:
    """One list with pages."""
    page = _page(request, rows.filter(status=status))
    is_active = status in Prediction.ACTIVE
    amount = _("Held") if is_active else _("Price") if status == Status.DRAFT else _("Charged")
    return {
        **_listed(page, str(Status(status).label), amount),
        "is_live": is_active and bool(page.rows),
    }


def _all(request: HttpRequest, rows: PredictionQuerySet) -> dict[str, Any]:
    """What has ended in pages; what runs and drafts are above it, on the first page alone."""
    page = _page(request, rows.filter(status__in=Prediction.ENDED))
    listed = _listed(page, _("Ended"), _("Charged"))
    if page.previous:
        return listed | {"is_live": False}
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


def _chart(rows: PredictionQuerySet, context: dict[str, Any]) -> Any:
    """Of the newest results by the predictor of the newest one in the list; None of few."""
    page: Page[Prediction] = context["page"]
    newest = next((row for row in page.rows if row.value is not None), None)
    if newest is None or page.previous:
        return None
    same = rows.filter(predictor_id=newest.predictor_id, status=Status.FINISHED)
    return history_chart(newest, list(same.newest_first()[:CHARTED]))


def _cells(rows: PredictionQuerySet) -> Iterator[tuple[Any, ...]]:
    for row in chain.from_iterable(rows.newest_batches(BATCH)):
        interval, scale = results.interval_of(row), scale_of(row)
        yield (
            row.pk,
            row.label,
            title_of(row),
            row.predictor.domain,
            row.predictor.name,
            row.version.label,
            row.status,
            row.value,
            scale.unit,
            interval and interval.low,
            interval and interval.high,
            row.charged,
            row.created_at.isoformat(),
            row.finished_at and row.finished_at.isoformat(),
        )

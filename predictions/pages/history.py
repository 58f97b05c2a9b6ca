"""A person's predictions."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any
from uuid import uuid4

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.authentication import signed_in
from carprice.idempotency.forms import once
from carprice.http.errors import InvalidInput, NotFound, WrongState
from carprice.pages.views import ServiceFormView, is_htmx, missing_is_404, signed_in_fragment
from carprice.http.pagination import CursorPages, Page
from mlmodels.serving import input_warnings
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature
from predictions import queue, results, services, what_ifs
from predictions.pages.forms import FeaturesForm, Given, HistoryFilter
from predictions.models import Prediction, PredictionQuerySet, WhatIf
from predictions.pages.prediction import status


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

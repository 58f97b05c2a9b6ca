"""What pages about one prediction share."""

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


Status = Prediction.Status

SAVED = "Saved as a draft. Nothing is held or charged for it."


class OfPrediction(LoginRequiredMixin, ServiceFormView):
    """A page about one of the user's own predictions."""

    throttle_scope = "submit"

    @cached_property
    def row(self) -> Prediction:
        return services.find(signed_in(self.request), self.kwargs["prediction_id"])

    @cached_property
    def domain(self) -> Domain:
        return DOMAINS[self.row.predictor.domain]


# --- What a person does to a prediction ----------------------------------------------------------

View = Callable[[HttpRequest, str], HttpResponse]


def _by_its_owner(view: View) -> View:
    """Like login_required, but who has to sign in first is led to the prediction's page."""

    @wraps(view)
    def wrapped(request: HttpRequest, prediction_id: str) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("prediction", args=[prediction_id]))
        return missing_is_404(view)(request, prediction_id)

    return wrapped


def _address(row: Prediction) -> str:
    return reverse("prediction", args=[row.pk])


def _given(row: Prediction, signature: Signature) -> Given:
    """What a prediction was given; the rest is typical."""
    data = row.data
    if row.defaulted:
        data = {name: value for name, value in data.items() if name not in row.defaulted}
    data = {**data, **row.entered} if row.entered else data
    return Given.of(DOMAINS[row.predictor.domain], signature, data)

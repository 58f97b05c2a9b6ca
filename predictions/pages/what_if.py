"""Change a finished prediction's features, and see its result beside the old one."""

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
from predictions.pages.common import OfPrediction
from predictions.pages.presentation import _what_if


Status = Prediction.Status


@method_decorator(missing_is_404, name="dispatch")
class WhatIfPage(OfPrediction):
    """Change what a finished prediction was told, and see its result beside the old one."""

    template_name = "predictions/what_if.html"

    @cached_property
    def shown(self) -> Mapping[str, Any]:
        """Every feature as it was used, or as it was entered."""
        data = {**self.row.data, **(self.row.entered or {})}
        return Given.of(self.domain, self.signature, data).shown

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.row.version_id)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and self.row.status != Status.FINISHED:
            return redirect("prediction", self.row.pk)
        return super().dispatch(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        if self.request.method == "POST":
            return FeaturesForm(self.signature, kept=self.shown.keys(), **self.get_form_kwargs())
        return FeaturesForm.of(self.signature, Given(self.shown, {}))

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        labels = {feature.name: feature for feature in self.signature.features}
        asked = [each for each in what_ifs.counted(self.row) if each.value is not None]
        return super().get_context_data(
            prediction=self.row,
            domain=self.domain,
            interval=results.interval(self.row),
            answers=[_what_if(each, labels) for each in reversed(asked)],
            left=what_ifs.left(self.row),
            **kwargs,
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        changes = {
            name: value for name, value in form.values.items() if value != self.shown.get(name)
        }
        if not changes:
            form.add_error(None, "Change at least one value.")
            return self.form_invalid(form)
        what_ifs.ask(user=signed_in(self.request), prediction_id=str(self.row.pk), changes=changes)
        return redirect("what-if", self.row.pk)

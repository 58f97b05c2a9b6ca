"""Change a finished prediction's features, and see the new result beside the old one."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from accounts.authentication import signed_in
from carprice.pages.views import is_htmx, missing_is_404
from mlmodels.catalogue.queries import signature_of
from mlmodels.signature import Signature
from predictions import results, what_ifs
from predictions.models import Prediction
from predictions.pages.common import OwnPredictionView
from predictions.pages.entered_data import EnteredData
from predictions.pages.forms import FeaturesForm
from predictions.pages.presentation import scale_of, title_of
from predictions.pages.variations import what_if_curve, what_if_line

Status = Prediction.Status


@method_decorator(missing_is_404, name="dispatch")
class WhatIfPage(OwnPredictionView):
    """What was tried so far, and a form that starts from the prediction's own features."""

    template_name = "predictions/what_if.html"

    @cached_property
    def entered(self) -> EnteredData:
        return EnteredData.of_prediction(self.row, self.signature)

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.row.version_id)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and self.row.status != Status.FINISHED:
            return redirect("prediction", self.row.pk)
        return super().dispatch(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        if self.request.method == "POST":
            return FeaturesForm(self.domain, self.signature, **self.get_form_kwargs())
        return FeaturesForm.prefilled(self.domain, self.signature, self.entered)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        features = {feature.name: feature for feature in self.signature.features}
        finished = [row for row in what_ifs.counted(self.row) if row.value is not None]
        return super().get_context_data(
            prediction=self.row,
            name=title_of(self.row),
            domain=self.domain,
            scale=scale_of(self.row),
            mostly_assumed=results.is_mostly_assumed(results.warnings_of(self.row)),
            answers=[what_if_line(row, features) for row in reversed(finished)],
            curve=what_if_curve(self.row, finished, features),
            left=what_ifs.left(self.row),
            **kwargs,
        )

    def form_invalid(self, form: Any, status: int = 422) -> HttpResponse:
        if is_htmx(self.request):
            return self._answers(form)
        return super().form_invalid(form, status)

    def _answers(self, form: FeaturesForm) -> HttpResponse:
        """The part of the page that a change of the form replaces."""
        context = self.get_context_data(form=form)
        return render(self.request, "predictions/_answers.html", context)

    def submit(self, form: FeaturesForm) -> HttpResponse:
        before, now = self.entered.shown, form.submitted_data
        # What is emptied is changed too: to what it would be if it were not known.
        names = [feature.name for feature in self.signature.features]
        changes = {name: now.get(name) for name in names if now.get(name) != before.get(name)}
        if not changes:
            form.add_error(None, _("Change at least one value."))
        else:
            form.check()
        if form.errors:
            return self.form_invalid(form)
        what_ifs.ask(user=signed_in(self.request), prediction_id=self.row.pk, changes=changes)
        if is_htmx(self.request):
            return self._answers(form)
        return redirect("what-if", self.row.pk)

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
from accounts.idempotency import once
from carprice.errors import InvalidInput, NotFound, WrongState
from carprice.pages import ServiceFormView, is_htmx, missing_is_404, signed_in_fragment
from carprice.pagination import CursorPages, Page
from mlmodels import plausibility
from mlmodels.catalogue import PredictorNotFound, find_on_sale, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature
from predictions import queue, results, services, what_ifs
from predictions.forms import FeaturesForm, Given, HistoryFilter
from predictions.models import Prediction, PredictionQuerySet, WhatIf

Status = Prediction.Status

PAGE_SIZE = 25
DRAFTS_SHOWN = 5  # above what has ended; the filter shows them all
PAGES = CursorPages("predictions", order=("created_at", "id"))

SAVED = "Saved as a draft. Nothing is held or charged for it."


@method_decorator(missing_is_404, name="dispatch")
class EstimatePage(LoginRequiredMixin, ServiceFormView):
    """Fill in the features, see the price of the answer, and ask for it or keep a draft."""

    template_name = "predictions/estimate.html"
    throttle_scope = "submit"

    @cached_property
    def predictor(self) -> Predictor:
        try:
            return find_on_sale(self.kwargs["model_name"])
        except PredictorNotFound as error:
            raise Http404 from error

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        version_id = self.predictor.current_version_id
        assert version_id is not None  # noqa: S101  # on sale means it has one
        signature = signature_of(version_id)
        like = self.request.GET.get("like")
        if like and self.request.method != "POST":
            row = services.find(signed_in(self.request), like)
            return FeaturesForm.of(signature, _given(row, signature))
        return FeaturesForm(signature, **self.get_form_kwargs())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        predictor = self.predictor
        others = Predictor.objects.on_sale().filter(domain=predictor.domain)
        return super().get_context_data(
            predictor=predictor, domain=DOMAINS[predictor.domain], others=others, **kwargs
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        is_draft = "save" in self.request.POST
        work = self._save if is_draft else self._buy
        address, is_first = once(self.request, lambda: work(form.given))
        if is_draft:
            messages.success(self.request, SAVED)
        elif not is_first:
            messages.info(self.request, "You sent this form twice; it was bought once.")
        return redirect(address)

    def _buy(self, data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        queue.refuse_if_full(user)
        row = services.request_prediction(
            user=user, predictor=self.predictor, data=data, explain=True
        )
        return _address(row)

    def _save(self, data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        row = services.create_draft(user=user, predictor=self.predictor, data=data, explain=True)
        return _address(row)


class OfPrediction(LoginRequiredMixin, ServiceFormView):
    """A page about one of the user's own predictions."""

    throttle_scope = "submit"

    @cached_property
    def row(self) -> Prediction:
        return services.find(signed_in(self.request), self.kwargs["prediction_id"])

    @cached_property
    def domain(self) -> Domain:
        return DOMAINS[self.row.predictor.domain]


@method_decorator(missing_is_404, name="dispatch")
class PredictionPage(OfPrediction):
    """One prediction: its state and its result, or while it is a draft, its form."""

    template_name = "predictions/draft.html"

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.row.predictor.current_version_id or self.row.version_id)

    @cached_property
    def given(self) -> Given:
        return _given(self.row, self.signature)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            row = self.row
        except NotFound:
            if services.was_erased(signed_in(request), self.kwargs["prediction_id"]):
                return render(request, "predictions/erased.html", status=404)
            raise
        if row.status == Status.DRAFT:
            return super().get(request, *args, **kwargs)
        return render(request, "predictions/prediction.html", _context(row))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.row.status != Status.DRAFT:
            return self._no_longer_a_draft()
        return super().post(request, *args, **kwargs)

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        if self.request.method == "POST":
            return FeaturesForm(
                self.signature, kept=self.given.shown.keys(), **self.get_form_kwargs()
            )
        form = FeaturesForm.of(self.signature, self.given)
        form.check()
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            prediction=self.row,
            domain=self.domain,
            given=self.given,
            **kwargs,
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        work = self._save if "save" in self.request.POST else self._run
        try:
            work(form.given)
        except WrongState:  # it was run in another tab, or by the first of two clicks
            return self._no_longer_a_draft()
        return redirect("prediction", self.row.pk)

    def _save(self, data: dict[str, Any]) -> None:
        services.edit_draft(
            user=signed_in(self.request), prediction_id=str(self.row.pk), changes={"data": data}
        )
        messages.success(self.request, SAVED)

    def _run(self, data: dict[str, Any]) -> None:
        user = signed_in(self.request)
        queue.refuse_if_full(user)
        services.run_draft_with(user=user, prediction_id=str(self.row.pk), data=data)

    def _no_longer_a_draft(self) -> HttpResponse:
        messages.info(self.request, "This is no longer a draft; nothing was bought twice.")
        return redirect("prediction", self.row.pk)


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


def _what_if(row: WhatIf, features: Mapping[str, Feature]) -> dict[str, Any]:
    """A line of the page: what was changed, and what came of it."""
    told = what_ifs.describe(row)
    before = told["before"]["changed"]
    changes = [
        {
            "feature": features[name],
            "before": features[name].word(before[name]),
            "after": features[name].word(value),
        }
        for name, value in told["changed"].items()
    ]
    return {**told, "changes": changes, "difference": told["value"] - told["before"]["value"]}


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


@require_POST
@_by_its_owner
def cancel(request: HttpRequest, prediction_id: str) -> HttpResponse:
    """Take back what still waits; where it no longer does, its page says so."""
    user = signed_in(request)
    with suppress(WrongState):
        services.cancel(user=user, prediction_id=prediction_id)
    row = services.find(user, prediction_id)
    if row.status == Status.CANCELED:  # by now, or by the first of two clicks
        messages.success(request, "Canceled. What was held for it is available again.")
    elif row.has_ended:
        messages.info(request, "It had ended already, so there was nothing to cancel.")
    else:
        messages.info(request, "It had started already, so it could not be canceled.")
    return redirect("prediction", prediction_id)


@require_http_methods(["GET", "HEAD", "POST"])
@_by_its_owner
def delete(request: HttpRequest, prediction_id: str) -> HttpResponse:
    """Ask whether to delete a draft or an ended prediction, and do it."""
    user = signed_in(request)

    def erase() -> str:
        services.erase(user=user, prediction_id=prediction_id)
        return reverse("predictions")

    if request.method != "POST":
        row = services.find(user, prediction_id)
        if row.is_active:
            return _not_yet(request, prediction_id)
        return render(request, "predictions/delete.html", {"prediction": row, "form_key": uuid4()})
    try:
        address, _ = once(request, erase)
    except WrongState:
        return _not_yet(request, prediction_id)
    messages.success(request, "Deleted.")
    return redirect(address)


def _not_yet(request: HttpRequest, prediction_id: str) -> HttpResponse:
    messages.info(request, "It can be deleted once it has ended.")
    return redirect("prediction", prediction_id)


# --- Fragments and lists -------------------------------------------------------------------------


@require_safe
@signed_in_fragment
@missing_is_404
def status(request: HttpRequest, prediction_id: str) -> HttpResponse:
    """The part of a prediction's page that changes while it runs."""
    row = services.find(signed_in(request), prediction_id)
    return render(request, "predictions/_status.html", _context(row))


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


def _address(row: Prediction) -> str:
    return reverse("prediction", args=[row.pk])


def _context(row: Prediction) -> dict[str, Any]:
    signature = signature_of(row.version_id)
    # What was never submitted is as it was given, and may be anything.
    data = row.data if row.queued_at else _given(row, signature).shown
    inputs = [
        {
            "feature": feature,
            "value": feature.word(data[feature.name]),
            "defaulted": feature.name in row.defaulted,
            "entered": (row.entered or {}).get(feature.name),
        }
        for feature in signature.features
        if data.get(feature.name) is not None
    ]
    labels = {feature.name: feature.label for feature in signature.features}
    labels[plausibility.WHOLE] = "Altogether"
    return {
        "prediction": row,
        "domain": DOMAINS[row.predictor.domain],
        "inputs": inputs,
        "not_measured": [
            feature.label
            for feature in signature.scored
            if feature.name in data and data[feature.name] is None
        ],
        "interval": results.interval(row),
        "gap": _gap(row),
        "warnings": [
            {"label": labels.get(warning.feature, warning.feature), "detail": warning.detail}
            for warning in results.warnings(row)
        ],
        **_reasons(row, signature),
        "position": queue.positions([row]).get(row.pk),
    }


FACTORS_SHOWN = 6  # the others wait folded
BAR = 50  # the width of the longest bar to either side, in units of its drawing


def _reasons(row: Prediction, signature: Signature) -> dict[str, Any]:
    """Factors as a page draws them, and the known cases that are most like this one."""
    found = results.factors(row)
    if not found or row.explanation is None:
        return {}
    features = {feature.name: feature for feature in signature.features}
    longest = abs(found[0]["contribution"]) or 1.0
    drawn = [
        {
            **factor,
            "label": features[factor["feature"]].label,
            "word": features[factor["feature"]].word(factor["value"]),
            "unit": features[factor["feature"]].unit,
            "size": BAR * abs(factor["contribution"]) / longest,
            "start": BAR + min(0.0, BAR * factor["contribution"] / longest),
        }
        for factor in found
    ]
    return {
        "baseline": row.explanation["baseline"],
        "factors": drawn[:FACTORS_SHOWN],
        "more_factors": drawn[FACTORS_SHOWN:],
        "comparables": [
            _comparable(case, features) for case in row.explanation["comparables"] or []
        ],
    }


def _comparable(case: dict[str, Any], features: dict[str, Feature]) -> dict[str, Any]:
    differences = [
        {"feature": features[name], "word": features[name].word(value)}
        for name, value in case["differences"].items()
    ]
    return {**case, "differences": differences}


def _gap(row: Prediction) -> float | None:
    """By how much a result exceeds what was given to compare it with."""
    domain = DOMAINS[row.predictor.domain]
    gaps = {} if row.value is None else domain.gap_of(row.value, row.data)
    return next(iter(gaps.values()), None)


def _given(row: Prediction, signature: Signature) -> Given:
    """What a prediction was given; the rest is typical."""
    data = row.data
    if row.defaulted:
        data = {name: value for name, value in data.items() if name not in row.defaulted}
    data = {**data, **row.entered} if row.entered else data
    return Given.of(DOMAINS[row.predictor.domain], signature, data)

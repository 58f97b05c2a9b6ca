"""Describe a case, see the price of its prediction, and ask for it or keep a draft."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from accounts.authentication import signed_in
from accounts.views import sign_up_first
from carprice.http import throttling
from carprice.http.converters import parse_id
from carprice.idempotency.forms import submit_once
from carprice.pages.kept_forms import KeptForm
from carprice.pages.views import ServiceFormView, missing_is_404
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale_with_version, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.presentation import offers_of
from predictions import services, trials
from predictions.models import Prediction
from predictions.pages.common import LIVE, SAVED, SaleView, buy_once
from predictions.pages.entered_data import EnteredData
from predictions.pages.forms import FeaturesForm
from predictions.pages.presentation import details_of

MODEL = "model"  # which of the domain's predictors the form is for
TRIAL = "trial"
START_OVER = "start_over"
SIGN_UP = "sign_up"
TRIED_COOKIE = "tried"
TRIED_FOR_SECONDS = 30 * 24 * 3600


@method_decorator(missing_is_404, name="dispatch")
class EstimatePage(SaleView):
    """Fill in the features, see the price of the answer, and ask for it or keep a draft.

    Whoever has no account may look, and try once. What a signed-in person types is kept in their
    session, a form for each domain, and found again after a reload.
    """

    template_name = "predictions/estimate.html"
    entered: EnteredData | None = None  # of a prediction that the form begins like
    is_kept = False  # whether the form begins as it was typed before

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if SIGN_UP in request.POST and not request.user.is_authenticated:
            return sign_up_first(request, KeptForm.of(request))
        if request.user.is_authenticated or not self._is_for_visitors(request):
            return super().dispatch(request, *args, **kwargs)
        return ServiceFormView.dispatch(self, request, *args, **kwargs)

    def _is_for_visitors(self, request: HttpRequest) -> bool:
        if request.method != "POST":
            return "like" not in request.GET
        asks_only = any(name in request.POST for name in (TRIAL, LIVE, "check"))
        return asks_only and "save" not in request.POST

    @cached_property
    def predictor(self) -> Predictor:
        """The one that was chosen in the form, else that of the address."""
        try:
            predictor = find_on_sale_with_version(self.kwargs["model_name"])
            chosen = self.request.POST.get(MODEL, "")
            if not chosen or chosen == predictor.name:
                return predictor
            other = find_on_sale_with_version(chosen)
        except PredictorNotFound as error:
            raise Http404 from error
        if other.domain != predictor.domain:
            raise Http404
        return other

    @property
    def seller(self) -> Predictor:
        return self.predictor

    @cached_property
    def domain(self) -> Domain:
        return DOMAINS[self.predictor.domain]

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        version_id = self.predictor.current_version_id
        assert version_id is not None  # noqa: S101  # on sale means it has one
        signature = signature_of(version_id)
        if self.request.method == "POST":
            return FeaturesForm(self.domain, signature, **self.get_form_kwargs())
        if like := self.request.GET.get("like"):
            row = services.find(signed_in(self.request), parse_id(like))
            self.entered = EnteredData.of_prediction(row, signature)
            return FeaturesForm.prefilled(self.domain, signature, self.entered)
        typed = self.request.session.get(self._session_key)
        self.is_kept = bool(typed)
        return FeaturesForm(self.domain, signature, typed or None)

    @property
    def _session_key(self) -> str:
        return f"typed:{self.domain.name}"

    def _keep(self, form: FeaturesForm) -> None:
        if self.request.user.is_authenticated:
            self.request.session[self._session_key] = form.typed

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if "form" not in kwargs:  # what it cannot show is known once it is made
            kwargs["form"] = self.get_form()
        return super().get_context_data(
            predictor=self.predictor,
            domain=self.domain,
            offers=offers_of(self.domain),
            entered=self.entered,
            is_kept=self.is_kept,
            may_try=TRIED_COOKIE not in self.request.COOKIES,
            **kwargs,
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        if START_OVER in self.request.POST:
            self.request.session.pop(self._session_key, None)
            return redirect("estimate", self.predictor.name)
        if TRIAL in self.request.POST:
            return self._try(form)
        return super().submit(form)

    def show_checked(self, form: FeaturesForm) -> HttpResponse:
        self._keep(form)
        return super().show_checked(form)

    def _try(self, form: FeaturesForm) -> HttpResponse:
        """The result at once, as an answer to the form: it is stored nowhere."""
        form.check()
        if not form.errors and TRIED_COOKIE in self.request.COOKIES:
            form.add_error(None, _("You have had your trial. Sign up to go on; the form is kept."))
        if form.errors:
            return self.form_invalid(form)
        throttling.count_request(self.request, "trial")
        row = trials.run(self.predictor, form.submitted_data)
        context = self.get_context_data(form=form)
        kept = KeptForm.of(self.request)
        context |= {"prediction": row, "details": details_of(row), "kept_form": kept.fields}
        response = self.response_class(
            request=self.request,
            template="predictions/trial.html",
            context={**context, "next": reverse("estimate", args=[self.predictor.name])},
        )
        response.set_cookie(
            TRIED_COOKIE,
            "1",
            max_age=TRIED_FOR_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )
        return response

    def sell(self, form: FeaturesForm) -> HttpResponse:
        data = form.submitted_data
        buy = partial(services.request_prediction, agreed_price=self.agreed_price)
        work = self.top_up_first(lambda: self._create(buy, data))
        address, is_first = buy_once(self.request, work)
        self._keep(form)
        if not is_first:
            messages.info(self.request, _("You sent this form twice; it was bought once."))
        return redirect(address)

    def save(self, form: FeaturesForm) -> HttpResponse:
        data = form.submitted_data
        address, _is_first = submit_once(
            self.request, lambda: self._create(services.create_draft, data)
        )
        messages.success(self.request, SAVED)
        return redirect(address)

    def _create(self, service: Callable[..., Prediction], data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        row = service(user=user, predictor=self.predictor, data=data, explain=True)
        return reverse("prediction", args=[row.pk])

"""What predictors cost: first prices by accuracy, then an operator's."""

from collections.abc import Sequence

from django.db import transaction

from accounts.models import User
from carprice.http.errors import InvalidInput
from mlmodels.models import Predictor, PriceChange

PRICE_BY_RANK = (10, 25, 40)  # credits, from the largest cross-validated error to the smallest

HIGHEST_PRICE = 1_000_000  # also a database constraint

PRICE_STEP = 15  # for each predictor beyond the third


@transaction.atomic
def price_by_rank(domain_name: str) -> None:
    """Price a domain's predictors by their squared error, except those an operator priced."""
    predictors = list(
        Predictor.objects.select_for_update(of=("self",))
        .select_related("current_version")
        .filter(domain=domain_name, current_version__isnull=False)
        .order_by("pk")
    )
    predictors.sort(key=_error, reverse=True)
    for predictor, price in zip(predictors, _ladder(len(predictors)), strict=True):
        if predictor.price_set_by_id is None:
            _record_price(predictor, price, actor=None)


def _error(predictor: Predictor) -> float:
    assert predictor.current_version is not None  # noqa: S101  # filtered for it
    return float(predictor.current_version.metrics["rmse"])


def _ladder(length: int) -> Sequence[int]:
    beyond = (PRICE_BY_RANK[-1] + PRICE_STEP * step for step in range(1, length))
    return [*PRICE_BY_RANK, *beyond][:length]


@transaction.atomic
def set_price(*, predictor_id: int, price: int, actor: User) -> None:
    """An operator's price, which training never changes again. Raises InvalidInput."""
    if not 1 <= price <= HIGHEST_PRICE:
        raise InvalidInput({"price": ["Enter 1 to 1,000,000 credits."]})
    predictor = Predictor.objects.select_for_update().get(pk=predictor_id)
    _record_price(predictor, price, actor=actor)


def _record_price(predictor: Predictor, price: int, *, actor: User | None) -> None:
    first = not predictor.price_changes.exists()
    if not first and actor is None and predictor.price == price:
        return
    PriceChange.objects.create(
        predictor=predictor, price=price, previous=None if first else predictor.price, actor=actor
    )
    predictor.price = price
    predictor.price_set_by = actor
    predictor.save(update_fields=["price", "price_set_by"])

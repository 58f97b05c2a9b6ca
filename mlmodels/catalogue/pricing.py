"""What predictors cost: prices by accuracy, until an operator sets one."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from accounts.models import User
from carprice.http.errors import InvalidInput
from mlmodels.catalogue import ranking
from mlmodels.models import Predictor, PriceChange

# In credits, from the predictor of a domain with the largest typical error to the one with the
# smallest; each one beyond the third costs so much more than the one before it. Those of the same
# rank all cost what the cheapest of them would.
PRICE_BY_RANK = (10, 25, 40)
PRICE_STEP = 15
HIGHEST_PRICE = 1_000_000  # also a database constraint


@transaction.atomic
def price_by_rank(
    domain_name: str, upcoming: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Price a domain's predictors by their typical error, except those an operator priced.

    `upcoming` has the metrics of those that will be published soon, by name, so that prices need
    not change when they are.
    """
    predictors = list(
        Predictor.objects.select_for_update(of=("self",))
        .select_related("current_version")
        .filter(domain=domain_name, current_version__isnull=False)
        .order_by("pk")
    )
    metrics = dict(upcoming or {})
    for predictor in predictors:
        assert predictor.current_version is not None  # noqa: S101  # filtered for it
        metrics[predictor.name] = predictor.current_version.metrics
    prices = _prices_by_name(ranking.ranks(metrics))
    for predictor in predictors:
        if predictor.price_set_by_id is None:
            _record_price(predictor, prices[predictor.name], actor=None)


def _prices_by_name(ranks: Sequence[Sequence[str]]) -> dict[str, int]:
    ladder = iter(_prices(sum(map(len, ranks))))
    prices = {}
    for names in ranks:
        lowest, *_ = [next(ladder) for _ in names]
        prices.update(dict.fromkeys(names, lowest))
    return prices


def _prices(count: int) -> Sequence[int]:
    """The prices of so many predictors of a domain, the lowest first."""
    further = (PRICE_BY_RANK[-1] + PRICE_STEP * step for step in range(1, count))
    return [*PRICE_BY_RANK, *further][:count]


@transaction.atomic
def set_price(*, predictor_id: int, price: int, actor: User) -> None:
    """Set an operator's price, which training never changes again. Raises InvalidInput."""
    if not 1 <= price <= HIGHEST_PRICE:
        raise InvalidInput({"price": ["Enter 1 to 1,000,000 credits."]})
    predictor = Predictor.objects.select_for_update().get(pk=predictor_id)
    _record_price(predictor, price, actor=actor)


@transaction.atomic
def pin(*, predictor_id: int, actor: User) -> None:
    """Have training leave a price as it is."""
    predictor = Predictor.objects.select_for_update().get(pk=predictor_id)
    _record_price(predictor, predictor.price, actor=actor)


@transaction.atomic
def unpin(*, predictor_id: int) -> None:
    """Let training price a predictor again, and price it by its rank now."""
    predictor = Predictor.objects.select_for_update().get(pk=predictor_id)
    predictor.price_set_by = None
    predictor.save(update_fields=["price_set_by"])
    price_by_rank(predictor.domain)


def _record_price(predictor: Predictor, price: int, *, actor: User | None) -> None:
    """Change the price and record it; training records nothing if the price stays."""
    first = not predictor.price_changes.exists()
    if not first and actor is None and predictor.price == price:
        return
    PriceChange.objects.create(
        predictor=predictor, price=price, previous=None if first else predictor.price, actor=actor
    )
    predictor.price = price
    predictor.price_set_by = actor
    predictor.save(update_fields=["price", "price_set_by"])

"""What a user does with endpoints and deliveries, and what operators and the sweep may."""

from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from carprice.http.errors import InvalidInput, NotFound, ServiceError, WrongState
from predictions.webhooks import addresses, signing
from predictions.webhooks.models import Delivery, Endpoint

M = TypeVar("M", bound=Model)

MAX_ENDPOINTS = 5
PREVIOUS_SECRET_FOR = timedelta(hours=24)
KEPT_FOR = timedelta(days=30)
PURGED_AT_ONCE = 1000
RESOLVE_SECONDS = 3.0

Disabled = Endpoint.Disabled
State = Delivery.State


class TooManyEndpoints(ServiceError):
    code = "too_many_webhooks"
    status = 409


def endpoints_of(user: User) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(user=user).order_by("created_at", "id")


def find(*, user: User, endpoint_id: UUID) -> Endpoint:
    """The user's own endpoint. Raises NotFound."""
    return _one(Endpoint.objects.filter(user=user), endpoint_id)


def create(*, user: User, url: str) -> Endpoint:
    """Add an endpoint. Raises InvalidInput or TooManyEndpoints."""
    check_url(url)
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)  # two at once are counted
        if endpoints_of(user).count() >= MAX_ENDPOINTS:
            sentence = gettext("You have %(count)d webhooks; delete one first.")
            raise TooManyEndpoints(sentence % {"count": MAX_ENDPOINTS})
        return Endpoint.objects.create(user=user, url=url, secret_seed=signing.new_seed())


def check_url(url: str) -> None:
    """Raise InvalidInput unless it is an address that may be called.

    What its host is called by is checked again at each attempt; here it helps whoever types it.
    All refusals of a host read the same, so that nobody learns what names there are inside.
    """
    try:
        addresses.resolve(addresses.parse(url), RESOLVE_SECONDS)
    except addresses.BadUrl as error:
        raise InvalidInput({"url": [str(error)]}) from error
    except (addresses.NoPublicAddress, TimeoutError) as error:
        raise InvalidInput({"url": [gettext("This host has no public address.")]}) from error


def change(
    *, user: User, endpoint_id: UUID, url: str | None = None, enabled: bool | None = None
) -> Endpoint:
    """Move an endpoint, or switch it on or off. Raises NotFound, InvalidInput, WrongState.

    What still waits is sent once it is on again.
    """
    find(user=user, endpoint_id=endpoint_id)
    if url is not None:
        check_url(url)
    with transaction.atomic():
        endpoint = _lock(user, endpoint_id)
        if url is not None and url != endpoint.url:
            endpoint.url, endpoint.failing_since = url, None
        if enabled is not None and enabled != endpoint.is_enabled:
            _switch(endpoint, enabled=enabled)
        endpoint.save(update_fields=["url", "failing_since", "disabled_at", "disabled_because"])
    endpoint.refresh_from_db()
    return endpoint


def _switch(endpoint: Endpoint, *, enabled: bool) -> None:
    if not enabled:
        endpoint.disabled_at, endpoint.disabled_because = Now(), Disabled.BY_OWNER
        return
    if endpoint.disabled_because == Disabled.BY_OPERATOR:
        raise WrongState(gettext("An operator switched it off."))
    if endpoint.disabled_because == Disabled.SECRET_LOST:
        raise WrongState(gettext("Its secret is lost; make a new one."))
    endpoint.disabled_at, endpoint.disabled_because = None, ""
    endpoint.failing_since = None


def switch_off(endpoints: QuerySet[Endpoint]) -> int:
    """What an operator does; returns how many were on."""
    return endpoints.filter(disabled_at=None).update(
        disabled_at=Now(), disabled_because=Disabled.BY_OPERATOR
    )


@transaction.atomic
def rotate_secret(*, user: User, endpoint_id: UUID) -> Endpoint:
    """Make a new secret; the one before signs too for 24 hours. Raises NotFound."""
    endpoint = _lock(user, endpoint_id)
    changes: dict[str, Any] = {"secret_seed": signing.new_seed()}
    if endpoint.disabled_because == Disabled.SECRET_LOST:
        changes |= {"disabled_at": None, "disabled_because": "", "previous_seed": ""}
    else:
        changes["previous_seed"] = endpoint.secret_seed
    changes["previous_until"] = Now() + PREVIOUS_SECRET_FOR
    Endpoint.objects.filter(pk=endpoint.pk).update(**changes)
    endpoint.refresh_from_db()
    return endpoint


@transaction.atomic
def delete(*, user: User, endpoint_id: UUID) -> None:
    """Delete an endpoint and its log. Raises NotFound."""
    _lock(user, endpoint_id).delete()


# --- Deliveries ---


def deliveries_of(endpoint: Endpoint) -> QuerySet[Delivery]:
    return Delivery.objects.filter(endpoint=endpoint)


@transaction.atomic
def send_test(*, user: User, endpoint_id: UUID) -> Delivery:
    """Have a test event delivered. Raises NotFound, WrongState."""
    endpoint = _lock_enabled(user, endpoint_id)
    return Delivery.objects.create(endpoint=endpoint, kind=Delivery.Kind.TEST)


@transaction.atomic
def resend(*, user: User, endpoint_id: UUID, delivery_id: UUID) -> Delivery:
    """Deliver it again, with the same id and all attempts. Raises NotFound, WrongState."""
    endpoint = _lock_enabled(user, endpoint_id)
    delivery = _one(deliveries_of(endpoint), delivery_id)
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.PENDING, attempts=0, next_attempt_at=Now()
    )
    delivery.refresh_from_db()
    return delivery


def purge_old() -> int:
    """Delete deliveries of more than 30 days ago, PURGED_AT_ONCE at most; returns how many."""
    old = Delivery.objects.filter(created_at__lt=Now() - KEPT_FOR)
    locked = old.select_for_update(skip_locked=True).order_by("created_at")
    with transaction.atomic():
        keys = list(locked.values_list("pk", flat=True)[:PURGED_AT_ONCE])
        return int(old.filter(pk__in=keys).delete()[0]) if keys else 0


def _lock(user: User, endpoint_id: UUID) -> Endpoint:
    return _one(Endpoint.objects.filter(user=user).select_for_update(no_key=True), endpoint_id)


def _lock_enabled(user: User, endpoint_id: UUID) -> Endpoint:
    """An endpoint that is on; nobody waits until a pause after a failure is over."""
    endpoint = _lock(user, endpoint_id)
    if not endpoint.is_enabled:
        raise WrongState(gettext("The webhook is switched off; switch it on first."))
    Endpoint.objects.filter(pk=endpoint.pk, claim=None).update(busy_until=None)
    return endpoint


def _one(rows: QuerySet[M], key: UUID) -> M:
    row = rows.filter(pk=key).first()
    if row is None:
        raise NotFound(gettext("There is no such webhook or delivery."))
    return row

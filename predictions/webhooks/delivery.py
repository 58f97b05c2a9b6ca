"""What a worker does with deliveries: claim an endpoint, send what is due, record how it went.

The sweep calls `start_due`, which waits for nothing: what is sent is sent on threads of their own,
SLOTS at most in a process, so scoring and sweeping go on. A thread claims an endpoint, and so no
two send to it at once; endpoints where nothing gets through have at most half of the slots.

Each step leaves what a crash after it needs. A claim runs out. An attempt is counted, with the time
of the next one, before it is made: if its worker dies, the next one is due as after a failure, and
what kills its worker does so MAX_ATTEMPTS times. An answer that could not be recorded is followed
by another attempt with the same `webhook-id`.
"""

import logging
import random
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connections, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from carprice.http.errors import NotFound
from predictions.webhooks import messages, transport
from predictions.webhooks.models import MAX_ATTEMPTS, WAITS, Delivery, Endpoint
from predictions.webhooks.signing import SecretLost
from predictions.webhooks.transport import NotSent

logger = logging.getLogger(__name__)

SLOTS = 4
SERVE_SECONDS = 30  # after which other endpoints have their turn
CLAIM_FOR = timedelta(seconds=60)  # more than that and one attempt
LAST_ATTEMPT_LASTS = timedelta(minutes=1)  # after which its answer is lost
FAILING_FOR = timedelta(days=3)  # less than all attempts of a message take
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)

State = Delivery.State
Failure = Delivery.Failure
Disabled = Endpoint.Disabled

_slots = threading.Semaphore(SLOTS)
_slots_of_failing = threading.Semaphore(SLOTS // 2)


@dataclass(frozen=True)
class Claim:
    """An endpoint that this thread alone sends to."""

    endpoint_id: UUID
    token: UUID
    was_failing: bool


@dataclass(frozen=True)
class Outcome:
    """How an attempt went; without a failure it was delivered."""

    status: int | None = None
    failure: str = ""


def start_due() -> None:
    """Have threads deliver what is due, as many as there are slots for."""
    while _slots.acquire(blocking=False):
        try:
            claim = _claim_any()
        except BaseException:
            _slots.release()
            raise
        if claim is None:
            _slots.release()
            return
        threading.Thread(target=_work, args=(claim,), name="webhooks", daemon=True).start()


def _work(claim: Claim | None) -> None:
    try:
        while claim:
            try:
                serve(claim)
            finally:
                if claim.was_failing:
                    _slots_of_failing.release()
            claim = _claim_any()
    except Exception:
        logger.exception("Webhooks were interrupted; the next sweep goes on.")
    finally:
        _slots.release()
        connections.close_all()


def _claim_any() -> Claim | None:
    """A claim of one that is not failing if there is any; others have slots of their own."""
    if claimed := claim_endpoint(Endpoint.objects.filter(failing_since=None)):
        return claimed
    if not _slots_of_failing.acquire(blocking=False):
        return None
    claimed = None
    try:
        claimed = claim_endpoint(Endpoint.objects.exclude(failing_since=None))
    finally:
        if claimed is None:
            _slots_of_failing.release()
    return claimed


def claim_endpoint(among: Any) -> Claim | None:
    """Claim the endpoint that has waited longest for its turn, of those with something due."""
    due = among.due()
    if not due.exists():  # nearly always, and it locks nothing
        return None
    with transaction.atomic():
        waiting = due.select_for_update(skip_locked=True, no_key=True, of=("self",))
        endpoint = waiting.order_by(F("busy_until").asc(nulls_first=True), "id").first()
        if endpoint is None:
            return None
        token = uuid4()
        Endpoint.objects.filter(pk=endpoint.pk).update(claim=token, busy_until=Now() + CLAIM_FOR)
    return Claim(endpoint.pk, token, endpoint.failing_since is not None)


def serve(claim: Claim) -> None:
    """Send what is due until nothing is, something fails, or others should have their turn."""
    ends = time.monotonic() + SERVE_SECONDS
    gets_through = True
    while gets_through and time.monotonic() < ends:
        delivery = begin_attempt(claim)
        if delivery is None:
            break
        outcome = attempt(delivery)
        gets_through = record(claim, delivery, outcome)
    _held(claim).update(claim=None, busy_until=Now() if gets_through else F("busy_until"))


def begin_attempt(claim: Claim) -> Delivery | None:
    """Count an attempt at the next due delivery; None if there is none or the claim is over."""
    mine = Delivery.objects.due().filter(
        endpoint=claim.endpoint_id,
        endpoint__claim=claim.token,
        endpoint__busy_until__gt=Now(),
        endpoint__disabled_at=None,
    )
    lost = mine.filter(attempts__gte=MAX_ATTEMPTS).values("pk")
    Delivery.objects.filter(pk__in=lost).update(state=State.FAILED, last_failure=Failure.LOST)
    delivery = mine.select_related("endpoint").order_by("next_attempt_at", "id").first()
    if delivery is None:
        return None
    wait = WAITS[delivery.attempts] if delivery.attempts < len(WAITS) else LAST_ATTEMPT_LASTS
    wait *= random.uniform(1, 1.1)  # noqa: S311  # so that what failed at once is not sent at once
    is_counted = _unchanged(delivery).update(
        attempts=F("attempts") + 1, last_attempt_at=Now(), next_attempt_at=Now() + wait
    )
    delivery.attempts += 1
    return delivery if is_counted else None


def attempt(delivery: Delivery) -> Outcome:
    """Send it, holding no transaction."""
    try:
        body = messages.body_of(delivery)
        status = transport.post(delivery.endpoint.url, body, messages.headers_of(delivery, body))
    except NotSent as error:
        return Outcome(failure=error.failure)
    except NotFound:
        return Outcome(failure=Failure.ERASED)
    except SecretLost:
        return Outcome(failure=Disabled.SECRET_LOST)
    return Outcome(status, "" if 200 <= status < 300 else Failure.STATUS)


@transaction.atomic
def record(claim: Claim, delivery: Delivery, outcome: Outcome) -> bool:
    """Store how an attempt went; returns whether it is worth while to send more at once."""
    rows = _unchanged(delivery)  # if it is to be sent anew meanwhile, that counts
    endpoint = Endpoint.objects.filter(pk=delivery.endpoint_id)
    if not outcome.failure:
        rows.update(state=State.DELIVERED, last_status=outcome.status, last_failure="")
        endpoint.exclude(failing_since=None).update(failing_since=None)
        return True
    if outcome.failure == Failure.ERASED:  # says nothing about the endpoint
        rows.update(state=State.FAILED, last_status=None, last_failure=Failure.ERASED)
        return True
    if outcome.failure == Disabled.SECRET_LOST:  # nor does this about the delivery
        rows.update(attempts=F("attempts") - 1, next_attempt_at=Now())
        _disable(endpoint, Disabled.SECRET_LOST)
        _held(claim).update(busy_until=Now())
        return False
    is_last = delivery.attempts >= MAX_ATTEMPTS
    rows.update(
        state=State.FAILED if is_last else State.PENDING,
        last_status=outcome.status,
        last_failure=outcome.failure,
    )
    endpoint.update(failing_since=Coalesce("failing_since", Now()))
    if outcome.status == 410:
        _disable(endpoint, Disabled.GONE)
    _disable(endpoint.filter(failing_since__lt=Now() - FAILING_FOR), Disabled.FAILING)
    _held(claim).update(busy_until=Now() + _pause(delivery.endpoint))
    return False


def _pause(endpoint: Endpoint) -> timedelta:
    """How long an endpoint is left alone after a failure: the longer, the longer it fails."""
    failing_for = timezone.now() - (endpoint.failing_since or timezone.now())
    return min(max(failing_for / 10, SHORTEST_PAUSE), LONGEST_PAUSE)


def _disable(endpoints: QuerySet[Endpoint], reason: str) -> None:
    if endpoints.filter(disabled_at=None).update(disabled_at=Now(), disabled_because=reason):
        logger.warning("A webhook was switched off: %s", reason)


def _held(claim: Claim) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(pk=claim.endpoint_id, claim=claim.token)


def _unchanged(delivery: Delivery) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk=delivery.pk, state=State.PENDING, attempts=delivery.attempts)

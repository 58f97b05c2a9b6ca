"""What goes wrong, by the API's error codes; a message is the server's own sentence."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, ClassVar

import httpx

if TYPE_CHECKING:
    from carprice_client.models import Task


class CarpriceError(Exception):
    """Every error of this package.

    `idempotency_key` is that of the request, if it had one: to send the same again with it is
    safe, whatever has become of the first.
    """

    idempotency_key: str | None = None


class Unreachable(CarpriceError):
    """No answer came until the deadline; `__cause__` says why.

    What was sent may have been done or not.
    """


class UnexpectedAnswer(CarpriceError):
    """Something answered, but not as the API does; a proxy or another service, say."""


class NotEnded(CarpriceError):
    """A task had not ended by the deadline. It goes on, and `task` is its last state."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"Task {task.task_id} is still {task.status}.")
        self.task = task


class PredictionFailed(CarpriceError):
    """A value was asked of a task that has none; it costs nothing."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.error.detail if task.error else f"The task is {task.status}.")
        self.task = task


class ApiError(CarpriceError):
    """The API refused, and changed nothing. `code` is stable; an unknown one is an ApiError too."""

    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, status: int, code: str, detail: str, body: dict[str, Any]) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.body = body
        self.retry_after: float | None = None  # seconds


class InvalidInput(ApiError):
    """`errors` has messages by field; those of a feature by its bare name."""

    codes = ("invalid_request",)

    @property
    def errors(self) -> dict[str, list[str]]:
        return dict(self.body.get("errors", {}))


class NotAuthenticated(ApiError):
    codes = ("not_authenticated",)


class InvalidCredentials(NotAuthenticated):
    codes = ("invalid_credentials",)


class PermissionDenied(ApiError):
    codes = ("permission_denied",)


class TopUpsClosed(PermissionDenied):
    codes = ("top_ups_closed",)


class NotFound(ApiError):
    codes = ("not_found",)


class PredictorNotFound(NotFound):
    codes = ("predictor_not_found",)


class WrongState(ApiError):
    codes = ("wrong_state",)


class InsufficientCredits(ApiError):
    codes = ("insufficient_credits",)

    @property
    def required(self) -> int:
        return int(self.body["required"])

    @property
    def available(self) -> int:
        return int(self.body["available"])


class IdempotencyKeyReused(ApiError):
    """The key belongs to another request of the last 24 hours."""

    codes = ("idempotency_key_reused",)


class BodyTooLarge(ApiError):
    codes = ("body_too_large",)


class Throttled(ApiError):
    """Too many requests; `retry_after` says when the next may be sent."""

    codes = ("too_many_requests",)


class QueueFull(Throttled):
    codes = ("queue_full",)


class Unavailable(ApiError):
    """The service cannot answer for now."""

    codes = ("unavailable", "timeout")


def _by_code(kind: type[ApiError]) -> dict[str, type[ApiError]]:
    named = dict.fromkeys(kind.codes, kind)
    for narrower in kind.__subclasses__():
        named |= _by_code(narrower)
    return named


_BY_CODE = _by_code(ApiError)


def error_of(response: httpx.Response) -> CarpriceError:
    """What an answer says that is no success."""
    try:
        body = response.json()
        code, detail = str(body["code"]), str(body["detail"])
    except (ValueError, TypeError, KeyError):
        return UnexpectedAnswer(f"{response.status_code} without a reason the API would give.")
    error = _BY_CODE.get(code, ApiError)(response.status_code, code, detail, body)
    error.retry_after = retry_after(response)
    return error


def retry_after(response: httpx.Response) -> float | None:
    """The seconds of a Retry-After header, which may also be a date (RFC 9110, 10.2.3)."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    with suppress(ValueError):
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return None

"""The errors that services raise. Each has its code and HTTP status; apps add their own."""

from collections.abc import Collection
from typing import Any, ClassVar

BODY = "body"  # names the body as a whole in `errors`
MOST_NAMED = 20  # of the unknown names in one request; the others are counted


class ServiceError(Exception):
    """A request was refused and changed nothing. `extra` are more members of the error body."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class InvalidInput(ServiceError):
    """Input broke a rule; `errors` maps the name of each field to its messages."""

    code = "invalid_request"
    status = 400

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("The input is not valid.", errors=errors)
        self.errors = errors


def unknown(names: Collection[str], kind: str, *, of: str = BODY) -> dict[str, list[str]]:
    """What `errors` say of names that are not known: the first of them, and how many there are.

    `kind` is what they would be, such as "field"; `of` names what contains them.
    """
    errors = {name: [f"Unknown {kind}."] for name in list(names)[:MOST_NAMED]}
    if len(names) > MOST_NAMED:
        errors[of] = [f"{len(names):,} unknown {kind}s; the first {MOST_NAMED} are named."]
    return errors


class NotFound(ServiceError):
    code = "not_found"
    status = 404


class WrongState(ServiceError):
    code = "wrong_state"
    status = 409


class RetryLater(ServiceError):
    """The same request may succeed after `retry_after` whole seconds."""

    status = 429

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

"""The errors that services raise. Each has its code and HTTP status; apps add their own."""

from typing import Any, ClassVar


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

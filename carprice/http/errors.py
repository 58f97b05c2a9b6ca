"""What a service refuses, in the domain's terms. Each error carries its code and HTTP status."""

from typing import Any, ClassVar


class ServiceError(Exception):
    """A request that was refused and changed nothing. `extra` joins the error body."""

    code: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class InvalidInput(ServiceError):
    """Input that breaks a rule; `errors` maps each field's name to its messages."""

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
    """What may succeed later, after `retry_after` whole seconds."""

    status = 429

    def __init__(self, detail: str, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

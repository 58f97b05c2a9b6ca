"""Which request, and which prediction, a thread is at work for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_prediction_id: ContextVar[str] = ContextVar("prediction_id", default="")


@contextmanager
def about_request(request_id: str) -> Iterator[None]:
    """Until the end, what is logged is about this request, and about no prediction yet."""
    request, prediction = _request_id.set(request_id), _prediction_id.set("")
    try:
        yield
    finally:
        _prediction_id.reset(prediction)
        _request_id.reset(request)


@contextmanager
def about_prediction(prediction_id: object) -> Iterator[None]:
    """Until the end, what is logged is about this prediction."""
    token = _prediction_id.set(str(prediction_id))
    try:
        yield
    finally:
        _prediction_id.reset(token)


def note_prediction(prediction_id: object) -> None:
    """Until the request ends, what is logged is about this prediction; nothing outside of one."""
    if _request_id.get():
        _prediction_id.set(str(prediction_id))


def current() -> dict[str, str]:
    """What is logged now is about these; without those that there are not."""
    ids = {"request_id": _request_id.get(), "prediction_id": _prediction_id.get()}
    return {name: value for name, value in ids.items() if value}


class Context(logging.Filter):
    """Adds `request_id` and `prediction_id` to each record; empty where there is none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        record.prediction_id = getattr(record, "prediction_id", "") or _prediction_id.get()
        return True

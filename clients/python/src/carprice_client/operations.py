"""What can be asked of the API: each method is a request, and what is read from its answer."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from carprice_client.core import Core, Deadline, Operation, Request
from carprice_client.errors import CarpriceError, InvalidInput, NotEnded, UnexpectedAnswer
from carprice_client.models import (
    Outcome,
    Predictor,
    Task,
    TopUp,
    Transaction,
    Wallet,
    WhatIf,
    parse,
)

T = TypeVar("T")

Data = Mapping[str, Any]

PATIENCE_SECONDS = 600.0  # in which the service ends a prediction, one way or another
LONGEST_WAIT_SECONDS = 30.0  # of one request
ROW_WAIT_SECONDS = 5.0  # so that who stops to read outcomes is not held up


class Operations(Core):
    # --- What is on sale ---

    def predictors(self, *, domain: str | None = None) -> Operation[list[Predictor]]:
        """All predictors on sale, or those of a domain, cheapest first."""
        query = _without_none(domain=domain)
        body = yield from self.exchange(Request("GET", "/api/predictors", query))
        if not isinstance(body, list):
            raise UnexpectedAnswer("An answer that is no list of predictors.")
        return [parse(Predictor, item) for item in body]

    def predictor(self, name: str) -> Operation[Predictor]:
        """One predictor, with its signature, an example and a JSON Schema of its input."""
        path = f"/api/predictors/{quote(name, safe='')}"
        return parse(Predictor, (yield from self.exchange(Request("GET", path))))

    # --- Credits ---

    def wallet(self) -> Operation[Wallet]:
        """Your credits: all of them, those held, and those free to spend."""
        return parse(Wallet, (yield from self.exchange(Request("GET", "/api/wallet"))))

    def top_up(self, amount: int, *, idempotency_key: str | None = None) -> Operation[TopUp]:
        """Add whole credits, where the service lets you."""
        request = Request(
            "POST", "/api/wallet/topup", body={"amount": amount}, key=idempotency_key or new_key()
        )
        return parse(TopUp, (yield from self.exchange(request)))

    def transactions(
        self,
        *,
        kind: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Pages[Transaction]:
        """What was posted to your account, newest first."""
        query = _without_none(kind=kind, created_after=created_after, created_before=created_before)
        return Pages(self, "/api/wallet/transactions", query, Transaction)

    # --- Predictions ---

    def submit(
        self,
        model: str,
        data: Data,
        *,
        explain: bool = False,
        idempotency_key: str | None = None,
    ) -> Operation[Task]:
        """Buy a prediction: its price is held, and charged when it finishes.

        With the key of an earlier submission, of the last 24 hours, it is that one's task.
        """
        request = _submission(model, data, explain, idempotency_key or new_key())
        return parse(Task, (yield from self.exchange(request)))

    def get(self, task_id: str, *, wait: float = 0) -> Operation[Task]:
        """A task, as soon as it has ended or `wait` seconds, up to 30, are over."""
        return (yield from self._get(task_id, wait, None))

    def wait(self, task_id: str, *, timeout: float = PATIENCE_SECONDS) -> Operation[Task]:
        """A task when it has ended. Raises NotEnded after `timeout` seconds."""
        return (yield from self._wait(task_id, Deadline(timeout)))

    def predict(
        self,
        model: str,
        data: Data,
        *,
        explain: bool = False,
        timeout: float = PATIENCE_SECONDS,
        idempotency_key: str | None = None,
    ) -> Operation[Task]:
        """Buy a prediction and wait until it has ended: the task, whose `value` is the answer.

        Raises NotEnded after `timeout` seconds; the task goes on.
        """
        request = _submission(model, data, explain, idempotency_key or new_key())
        return (yield from self._buy(request, Deadline(timeout)))

    def many(
        self,
        model: str,
        rows: Iterable[Data],
        *,
        explain: bool,
        timeout: float,
        idempotency_key: str | None,
        stopped: threading.Event | None = None,
    ) -> Iterator[Operation[Outcome]]:
        """An operation for each row, with a key of its own, made of the key of all."""
        key = idempotency_key or new_key()
        for index, data in enumerate(rows):
            request = _submission(model, data, explain, f"{key}:{index}")
            yield self._row(index, request, timeout, stopped)

    def cancel(self, task_id: str) -> Operation[Task]:
        """Cancel a draft or a queued task; what was held is released."""
        request = Request("POST", f"{_path(task_id)}/cancel")
        return parse(Task, (yield from self.exchange(request)))

    def delete(self, task_id: str) -> Operation[None]:
        """Erase the input and result of an ended task or a draft."""
        yield from self.exchange(Request("DELETE", _path(task_id)))

    def what_if(self, task_id: str, changes: Data) -> Operation[WhatIf]:
        """What a finished task's value would be with some features changed; free, 20 a task."""
        # The same question again does not count.
        request = Request(
            "POST", f"{_path(task_id)}/what-if", body={"data": dict(changes)}, repeatable=True
        )
        return parse(WhatIf, (yield from self.exchange(request)))

    def history(
        self,
        *,
        status: str | None = None,
        model_name: str | None = None,
        domain: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Pages[Task]:
        """Your tasks, drafts too, newest first."""
        query = _without_none(
            status=status,
            model_name=model_name,
            domain=domain,
            created_after=created_after,
            created_before=created_before,
        )
        return Pages(self, "/api/tasks/history", query, Task)

    def running(self) -> Pages[Task]:
        """Your tasks that are queued or running."""
        return Pages(self, "/api/tasks/running", {}, Task)

    # --- Drafts ---

    def draft(
        self, model: str, data: Data | None = None, *, explain: bool = False
    ) -> Operation[Task]:
        """Keep features, complete or not, for later; the draft says what is wrong with them."""
        body = {"model_name": model, "explain": explain} | _without_none(data=data)
        return parse(Task, (yield from self.exchange(Request("POST", "/api/tasks", body=body))))

    def edit(
        self, task_id: str, data: Data | None = None, *, explain: bool | None = None
    ) -> Operation[Task]:
        """Replace the features of a draft, or whether it will be explained."""
        body = _without_none(data=data, explain=explain)
        return parse(Task, (yield from self.exchange(Request("PATCH", _path(task_id), body=body))))

    def run(self, task_id: str, *, idempotency_key: str | None = None) -> Operation[Task]:
        """Buy the prediction that a draft describes."""
        request = Request("POST", f"{_path(task_id)}/run", key=idempotency_key or new_key())
        return parse(Task, (yield from self.exchange(request)))

    # --- Parts of the above ---

    def _get(self, task_id: str, wait: float, deadline: Deadline | None) -> Operation[Task]:
        query = {"wait": wait} if wait else {}
        request = Request("GET", _path(task_id), query, wait=wait)
        return parse(Task, (yield from self.exchange(request, deadline)))

    def _wait(
        self, task_id: str, deadline: Deadline, longest: float = LONGEST_WAIT_SECONDS
    ) -> Operation[Task]:
        while True:
            seconds = round(min(longest, deadline.remaining()), 3)
            task = yield from self._get(task_id, seconds, deadline)
            if task.has_ended:
                return task
            if not deadline.remaining():
                raise NotEnded(task)

    def _buy(
        self, request: Request, deadline: Deadline, longest: float = LONGEST_WAIT_SECONDS
    ) -> Operation[Task]:
        """Submit and wait. Whatever is raised, with its key one can go on."""
        try:
            task = parse(Task, (yield from self.exchange(request, deadline)))
            return (yield from self._wait(task.task_id, deadline, longest))
        except CarpriceError as error:
            error.idempotency_key = request.key
            raise

    def _row(
        self, index: int, request: Request, timeout: float, stopped: threading.Event | None
    ) -> Operation[Outcome]:
        try:
            task = yield from self._buy(request, Deadline(timeout, stopped), ROW_WAIT_SECONDS)
        except InvalidInput as refusal:
            return Outcome(index=index, refusal=refusal)
        return Outcome(index=index, task=task)


@dataclass(frozen=True)
class Pages(Generic[T]):
    """A list that comes page by page."""

    _core: Core
    _path: str
    query: Mapping[str, Any]
    _kind: type[T]

    def load(self, query: Mapping[str, Any]) -> Operation[tuple[list[T], dict[str, str] | None]]:
        """The items of a page, and the query of the next one, None after the last."""
        body = yield from self._core.exchange(Request("GET", self._path, query))
        try:
            items, following = body["results"], body["next"]
        except (TypeError, KeyError) as error:
            raise UnexpectedAnswer(f"An answer that is no page: {error!r}") from error
        # Only its query: behind a proxy, the address may be one that is not ours.
        query_of_next = dict(parse_qsl(urlsplit(following).query)) if following else None
        return [parse(self._kind, item) for item in items], query_of_next


def new_key() -> str:
    return str(uuid.uuid4())


def _submission(model: str, data: Data, explain: bool, key: str) -> Request:
    body = {"model_name": model, "data": dict(data), "explain": explain}
    return Request("POST", "/api/tasks/predict", body=body, key=key)


def _path(task_id: str) -> str:
    return f"/api/tasks/{quote(str(task_id), safe='')}"


def _without_none(**members: Any) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in members.items()
        if value is not None
    }

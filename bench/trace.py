"""Where the time of one prediction goes at idle, from the client's socket and back to it.

Nothing of the service is changed for it. The client notes when it sends and what it is answered;
PostgreSQL notes when each statement begins, in the row; Redis tells by MONITOR when it gets and
gives away the message. All of them read the same clock of one machine. Printed are the medians.
"""

import argparse
import http.client
import json
import statistics
import threading
import time
from collections.abc import Iterator
from queue import Queue
from typing import Any

import load
import psycopg
import redis
from run import WEB, WORKER, running, service_on_servers, wait_until_ready

ASKED_EVERY = 0.0005
QUEUED, STARTED, FINISHED = "queued_at", "started_at", "finished_at"
STAGES = [
    ("sent", QUEUED, "web: HTTP, token, input, until PostgreSQL begins the submission"),
    (QUEUED, "answered", "PostgreSQL: hold, row and commit; web: the answer"),
    (QUEUED, "published", "the same commit; web: the publisher's message reaches Redis"),
    ("published", STARTED, "worker: message, hop to its process, until the claim begins"),
    (STARTED, FINISHED, "worker: claim, scoring, until the settlement begins"),
    (FINISHED, "seen", "PostgreSQL: settlement and commit; client: asks, web answers"),
    ("sent", "seen", "all of it"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    with (
        service_on_servers("trace") as service,
        running(WEB, service.env),
        running(WORKER, service.env),
        psycopg.connect(service.env["DATABASE_URL"], autocommit=True) as database,
    ):
        wait_until_ready(service.env["PORT"])
        messages = published(service.env["CELERY_BROKER_URL"])
        client = Client(int(service.env["PORT"]), options.model)
        for _ in range(20):
            client.predict()
        traces = [trace(client, database, messages) for _ in range(options.count)]
        print(f"milliseconds of {options.count} predictions at idle      median     p95")
        for begin, end, what in STAGES:
            took = sorted(1000 * (each[end] - each[begin]) for each in traces)
            p95 = took[int(0.95 * len(took))]
            print(f"{begin:10} to {end:12} {statistics.median(took):8.2f} {p95:8.2f}   {what}")


class Client:
    """One customer, on one kept-alive connection."""

    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._order = {"model_name": model, "data": load.DATA}
        self._headers = {"Content-Type": "application/json"}
        account = {"email": "trace@example.com", "password": "a password for a benchmark"}
        self.call("POST", "/sign_up", {"name": "Trace", **account})
        token = self.call("POST", "/sign_in", account)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        self.call("POST", "/balance", {"new_amount": load.CREDITS})

    def call(self, method: str, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, self._headers)
        return json.loads(self._connection.getresponse().read())

    def predict(self) -> tuple[str, dict[str, float]]:
        """Its id, and when it was sent, answered and seen to have finished."""
        sent = time.time()
        key = self.call("POST", "/predict", self._order)["job_id"]
        answered = time.time()
        while self.call("GET", f"/predict?job_id={key}")["status"] != "finished":
            time.sleep(ASKED_EVERY)
        return key, {"sent": sent, "answered": answered, "seen": time.time()}


def trace(
    client: Client, database: psycopg.Connection[Any], messages: "Queue[float]"
) -> dict[str, float]:
    """The moments of one prediction, by name."""
    time.sleep(0.05)  # idle means that nothing of the last one is still being done
    while not messages.empty():
        messages.get()
    key, moments = client.predict()
    columns = ", ".join(f"EXTRACT(EPOCH FROM {name})" for name in (QUEUED, STARTED, FINISHED))
    find = f"SELECT {columns} FROM predictions_prediction WHERE id = %s"
    row = database.execute(find, [key]).fetchone()
    assert row is not None
    moments |= dict(zip((QUEUED, STARTED, FINISHED), map(float, row), strict=True))
    return {**moments, "published": messages.get(timeout=5)}


def published(broker: str) -> "Queue[float]":
    """When Redis gets messages that rows wait, from now on."""
    found: Queue[float] = Queue()

    def watch(commands: Iterator[dict[str, Any]]) -> None:
        for command in commands:
            text = command["command"]
            if text.startswith("LPUSH") and "score_predictions" in text:
                found.put(command["time"])

    monitor: Any = redis.Redis.from_url(broker, socket_timeout=None).monitor()  # type: ignore[no-untyped-call]
    monitor.__enter__()
    threading.Thread(target=watch, args=[monitor.listen()], daemon=True).start()
    return found


if __name__ == "__main__":
    main()

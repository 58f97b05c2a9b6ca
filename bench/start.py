"""`make bench-start`: a first start in an empty directory, and a second.

Times, from `make run` on, the first answer, the first finished prediction and all predictors on
sale; then a second start to its first answer. Exits with 1 if a figure misses its target.
"""

import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from run import environment, running, wait_for

PREDICTORS = 10
TIMEOUT_SECONDS = 600

# The targets, in seconds, on two cores.
FIRST_PREDICTION, ALL_ON_SALE, SECOND_START = 20.0, 60.0, 4.0
ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}


class Client:
    """A customer of the root contract."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        self.call("POST", "/sign_up", ADA)
        credentials = {name: ADA[name] for name in ("email", "password")}
        token = self.call("POST", "/sign_in", credentials)["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"
        self.call("POST", "/balance", {"new_amount": 100})

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def models(self) -> list[Any]:
        models: list[Any] = self.call("GET", "/predictors")["models"]
        return models

    def predict(self) -> None:
        name = self.models()[0]["model_name"]
        job = self.call("POST", "/predict", {"model_name": name, "data": {"horsepower": [121]}})
        wait_until(lambda: self.call("GET", f"/predict?job_id={job['job_id']}")["result"])


def main() -> None:
    print(f"on {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="carprice-bench-") as var:
        env = environment(var)
        command = ["make", "run", f"PORT={env['PORT']}", f"VAR_DIR={var}"]
        url = f"http://127.0.0.1:{env['PORT']}"
        with running(command, env):
            started = time.perf_counter()
            wait_for(f"{url}/", timeout=TIMEOUT_SECONDS)
            print(f"first start, first answer: {time.perf_counter() - started:.1f} s")
            client = Client(url)
            client.predict()
            first_prediction = time.perf_counter() - started
            wait_until(lambda: len(client.models()) == PREDICTORS)
            all_on_sale = time.perf_counter() - started
        with running(command, env):
            started = time.perf_counter()
            wait_for(f"{url}/", timeout=TIMEOUT_SECONDS)
            second_start = time.perf_counter() - started
    figures = [
        ("first finished prediction", first_prediction, FIRST_PREDICTION),
        ("all predictors on sale", all_on_sale, ALL_ON_SALE),
        ("second start, first answer", second_start, SECOND_START),
    ]
    for name, seconds, target in figures:
        print(f"{name}: {seconds:.1f} s; the target is {target:.0f} s")
    sys.exit(any(seconds > target for _, seconds, target in figures))


def wait_until(question: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not question():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    main()

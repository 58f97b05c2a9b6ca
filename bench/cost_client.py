"""One side of bench/cost.py: calls the checkout it is started in, and tells what that cost."""

import io
import json
import os
import secrets
import sys
import time
import uuid
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "carprice.settings"
django.setup()

from threadpoolctl import threadpool_limits  # noqa: E402  # all of these read the settings

from carprice.wsgi import application  # noqa: E402
from mlmodels.models import Predictor  # noqa: E402
from predictions.execution import runner  # noqa: E402
from predictions.models import Prediction  # noqa: E402

DATA = {"horsepower": [110], "enginesize": [130], "curbweight": [2500]}
WARM_UP = 20


class Caller:
    """Calls the application as a server would, signed in once it has a token."""

    def __init__(self) -> None:
        self.token = ""

    def post(self, path: str, body: Any) -> Any:
        raw = json.dumps(body).encode()
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(raw), "wsgi.errors": sys.stderr,
            "CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": "application/json",
            "HTTP_AUTHORIZATION": f"Bearer {self.token}" if self.token else "",
        }  # fmt: skip
        statuses: list[str] = []
        answer = application(environ, lambda status, *_: statuses.append(status))
        content = b"".join(answer)
        if not statuses[0].startswith("2"):
            raise RuntimeError(f"{path}: {statuses[0]}: {content!r}")
        return json.loads(content)


def main() -> None:
    caller, model = Caller(), sys.argv[1]
    account = {"email": f"cost-{uuid.uuid4().hex}@example.com", "password": secrets.token_urlsafe()}
    caller.post("/sign_up", {"name": "Cost", **account})
    caller.token = caller.post("/sign_in", account)["access_token"]
    caller.post("/balance", {"new_amount": 1_000_000_000})
    version_id = Predictor.objects.get(name=model).current_version_id
    assert version_id is not None  # it has been trained
    threadpool_limits(1)  # as in a worker
    turn(caller, model, version_id, WARM_UP)
    print("ready", flush=True)
    for line in sys.stdin:
        print(*turn(caller, model, version_id, int(line)), flush=True)


def turn(caller: Caller, model: str, version_id: uuid.UUID, batch: int) -> tuple[float, float]:
    """Milliseconds of this thread's CPU for each submission, and for scoring each."""
    started = time.thread_time()
    for _ in range(batch):
        caller.post("/predict", {"model_name": model, "data": DATA})
    submitted = time.thread_time()
    while runner.run_queued(Prediction, version_id):
        pass
    scored = time.thread_time()
    return 1000 * (submitted - started) / batch, 1000 * (scored - submitted) / batch


if __name__ == "__main__":
    main()

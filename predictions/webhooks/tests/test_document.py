"""What docs/webhooks.md tells people to run."""

import re
import time
from typing import Any

import pytest
from django.conf import settings

from predictions.webhooks import signing
from predictions.webhooks.models import WAITS

TEXT = (settings.BASE_DIR / "docs" / "webhooks.md").read_text("utf-8")
BODY = b'{"type":"webhook.test"}'


@pytest.fixture
def verify() -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["verify"]


def headers(*secrets: str, age: int = 0) -> dict[str, str]:
    at = int(time.time()) - age
    signatures = [signing.sign(secret, "msg_1", at, BODY) for secret in secrets]
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signatures),
    }


@pytest.fixture
def secrets() -> list[str]:
    return [signing.secret_of(signing.new_seed()) for _ in range(2)]


def test_a_message_of_ours_is_taken(verify: Any, secrets: list[str]) -> None:
    assert verify(secrets[0], headers(secrets[0]), BODY)
    assert all(verify(secret, headers(*secrets), BODY) for secret in secrets)


def test_any_other_is_refused(verify: Any, secrets: list[str]) -> None:
    own, other = secrets

    assert not verify(own, headers(other), BODY)
    assert not verify(own, headers(own), BODY + b" ")
    assert not verify(own, headers(own, age=301), BODY)
    assert not verify(own, headers(own) | {"webhook-id": "msg_2"}, BODY)
    assert not verify(own, headers(own) | {"webhook-timestamp": "soon"}, BODY)


def test_the_specifications_own_example_is_signed_alike() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    signature = signing.sign(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )

    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_tells_the_schedule() -> None:
    words = ["5 s", "5 min", "30 min", "2 h", "5 h", "10 h", "14 h", "20 h", "24 h"]
    seconds = {"s": 1, "min": 60, "h": 3600}

    assert ", ".join(words[:-1]) + f" and {words[-1]}" in " ".join(TEXT.split())
    told = [int(each.split()[0]) * seconds[each.split()[1]] for each in words]
    assert told == [wait.total_seconds() for wait in WAITS]

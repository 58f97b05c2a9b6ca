"""Acknowledgements that Redis does not answer leave a worker able to consume."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import virtual
from redis.exceptions import TimeoutError as RedisTimeout

from carprice.broker import redis


@pytest.fixture
def qos(monkeypatch: pytest.MonkeyPatch) -> redis.QoS:
    """Of a channel whose Redis times out, with its one prefetch slot taken by the message "tag"."""

    def time_out(*_: Any, **__: Any) -> None:
        raise RedisTimeout

    qos = redis.QoS(SimpleNamespace(do_restore=False), prefetch_count=1)
    monkeypatch.setattr(qos, "_remove_from_indices", time_out)
    monkeypatch.setattr(qos, "restore_by_tag", time_out)
    virtual.QoS.append(qos, object(), "tag")
    return qos


@pytest.mark.parametrize(
    "end",
    [
        lambda qos: qos.ack("tag"),
        lambda qos: qos.reject("tag"),
        lambda qos: qos.reject("tag", requeue=True),
    ],
    ids=["ack", "reject", "requeue"],
)
def test_a_message_whose_end_redis_does_not_hear_of_frees_its_slot(
    qos: redis.QoS, end: Callable[[redis.QoS], None]
) -> None:
    assert not qos.can_consume()

    with pytest.raises(RedisTimeout):
        end(qos)

    assert qos.can_consume()


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_urls_of_redis_use_this_transport(scheme: str) -> None:
    transport = Connection(f"{scheme}://localhost").get_transport_cls()

    assert transport is redis.Transport

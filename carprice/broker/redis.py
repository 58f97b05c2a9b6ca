"""Kombu's Redis transport with two fixes.

**An answer that refuses a command is a lost connection.** A Redis that is out of memory, has become
a replica, cannot save to its disk or is stopped by its operator answers OOM, READONLY, MISCONF or
UNBLOCKED. For kombu these are errors of a channel, and they end a worker wherever Celery expects
errors of connections alone, as in its event loop and when it acknowledges a message
(https://github.com/redis/redis/issues/6420, https://github.com/celery/kombu/pull/2204). Here
they are errors of the connection, so the worker connects again, each time after a longer pause.

**A failed acknowledgement still frees its prefetch slot.** The fault is in `QoS.ack` and
`QoS.reject` of `kombu/transport/redis.py` (kombu 5.7.0). They first tell Redis to forget the
message and only then mark its delivery tag as done. If Redis times out, the first step raises,
Celery logs "Couldn't ack" and goes on, and the tag counts as delivered for as long as the
connection lives. Once that has happened to as many messages as the worker may prefetch,
`QoS.can_consume` stays false: the worker is up and connected, and consumes nothing.

We know of no upstream issue about exactly this. The same symptom, after lost connections, is in
https://github.com/celery/celery/issues/8030 and https://github.com/celery/celery/issues/10205.
This part can go when kombu marks the tag whatever Redis answers.

Here the tag is marked in any case. Redis then still has the message and delivers it again after
the visibility timeout. That is harmless: a message only notifies a worker, which finds in the
database what there is to do.
"""

from typing import Any

from kombu.transport import redis, virtual
from redis.exceptions import ResponseError


class QoS(redis.QoS):
    def ack(self, delivery_tag: Any) -> None:
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        try:
            super().reject(delivery_tag, requeue=requeue)
        finally:
            virtual.QoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, ResponseError)

"""Kombu's Redis transport with one fix: a failed acknowledgement still frees its prefetch slot.

The fault is in `QoS.ack` and `QoS.reject` of `kombu/transport/redis.py` (kombu 5.7.0). They first
tell Redis to forget the message and only then mark its delivery tag as done. If Redis times out,
the first step raises, Celery logs "Couldn't ack" and goes on, and the tag counts as delivered for
as long as the connection lives. Once that has happened to as many messages as the worker may
prefetch, `QoS.can_consume` stays false: the worker is up and connected, and consumes nothing.

We know of no upstream issue about exactly this. The same symptom, after lost connections, is in
https://github.com/celery/celery/issues/8030 and https://github.com/celery/celery/issues/10205.
This file can go when kombu marks the tag whatever Redis answers.

Here the tag is marked in any case. Redis then still has the message and delivers it again after
the visibility timeout. That is harmless: a message only notifies a worker, which finds in the
database what there is to do.
"""

from typing import Any

from kombu.transport import redis, virtual


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

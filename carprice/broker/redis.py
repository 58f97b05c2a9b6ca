"""Kombu's Redis transport, less a fault: it forgets to free a prefetch place if Redis times out.

Kombu tells Redis of an acknowledgement first and marks the message as done after. When the first
raises, the place stays taken although Celery is done with the message, and as many of these as the
worker prefetches leave it up and not consuming. Here the place is free whatever Redis says; a
message that stays unacknowledged in Redis is delivered again, and ringing twice is harmless.
"""

from typing import Any

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    """Frees the place of a message that is done with, also when Redis does not answer."""

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

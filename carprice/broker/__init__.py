"""The brokers that Celery can use. RabbitMQ goes through kombu's own transport, as it is."""

from kombu.transport import TRANSPORT_ALIASES


def register_transports() -> None:
    """Have kombu use the transports of this package for URLs of these schemes."""
    TRANSPORT_ALIASES["embedded"] = "carprice.broker.filesystem:Transport"
    TRANSPORT_ALIASES["redis"] = "carprice.broker.redis:Transport"
    TRANSPORT_ALIASES["rediss"] = "carprice.broker.redis:Transport"

"""Whether the broker can be reached, by a connection of its own."""

import logging

from django.conf import settings
from kombu import Connection

logger = logging.getLogger(__name__)


def broker_fault() -> str:
    """Why the broker cannot be reached; "" if it can. Takes about a second at most."""
    options = settings.PUBLISH_TRANSPORT_OPTIONS[settings.BROKER_KIND]
    try:
        with Connection(
            settings.CELERY_BROKER_URL, connect_timeout=1, transport_options=options
        ) as broker:
            broker.default_channel  # noqa: B018  # opening it is the check
    except Exception as error:  # whatever the broker's client raises
        logger.warning("The broker is unreachable: %s", error)
        return "the broker is unreachable"
    return ""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class WebhooksConfig(AppConfig):
    name = "predictions.webhooks"

    def ready(self) -> None:
        post_migrate.connect(_restore_trigger, sender=self)


def _restore_trigger(*, using: str, **_: Any) -> None:
    """A migration of predictions may have made their table anew on SQLite, without its triggers."""
    from predictions.webhooks import triggers

    if connections[using].vendor == "sqlite":
        triggers.restore(connections[using])

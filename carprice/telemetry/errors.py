"""Reports of errors to a Sentry: which error, where in the code, at which route; nobody's data."""

from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.django import DjangoIntegration

from carprice.logs.context import current

# Whatever else an event has may hold inputs, addresses or credentials.
KEPT = {
    "contexts",
    "event_id",
    "exception",
    "level",
    "logentry",
    "logger",
    "platform",
    "release",
    "sdk",
    "server_name",
    "tags",
    "timestamp",
    "transaction",
}
CONTEXTS = {"runtime"}


def start(process: str) -> None:
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=settings.VERSION,
        integrations=[DjangoIntegration(), CeleryIntegration()],
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=scrub,
    )
    sentry_sdk.set_tag("process", process)


def scrub(event: Any, hint: Any) -> Any:
    """Keep what says which error it was. Its words are in the log, found by the request's id."""
    kept = {name: value for name, value in event.items() if name in KEPT}
    for error in kept.get("exception", {}).get("values", []):
        error.pop("value", None)  # it may quote what was sent
    if "logentry" in kept:
        kept["logentry"] = {"message": kept["logentry"].get("message", "")}
    contexts = kept.get("contexts", {})
    kept["contexts"] = {name: contexts[name] for name in CONTEXTS & set(contexts)}
    if "method" in event.get("request", {}):
        kept["request"] = {"method": event["request"]["method"]}
    kept["tags"] = {**kept.get("tags", {}), **current()}
    return kept

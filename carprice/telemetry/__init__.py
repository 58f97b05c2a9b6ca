"""Traces and reports of errors, sent to other services if a setting says where to.

What that needs is no dependency of the service: it is imported here, if at all.
"""

from importlib import import_module

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

REPORTERS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "carprice.telemetry.tracing",
    "SENTRY_DSN": "carprice.telemetry.errors",
}


def start(process: str) -> None:
    """Begin to report from this process, which is `web` or `worker`, after it was forked."""
    for setting, module in REPORTERS.items():
        if getattr(settings, setting):
            try:
                reporter = import_module(module)
            except ModuleNotFoundError as error:
                raise ImproperlyConfigured(
                    f"{setting} needs {error.name}: install the dependency group observability, "
                    "as docs/monitoring.md says, or leave the setting out."
                ) from error
            reporter.start(process)

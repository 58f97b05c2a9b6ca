"""OpenTelemetry: a span for each request and each task, without what would name a person."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from carprice.logs.context import current

# Paths may hold secrets, as that of a shared prediction does, and queries what somebody looks for.
OF_ADDRESSES = ("http.url", "http.target", "url.full", "url.path", "url.query")
PERSONAL = ("http.client_ip", "net.peer.ip", "client.address", "http.user_agent")

REQUEST_IDS = "carprice.logs.requests.RequestIds"


def start(process: str) -> None:
    """The exporter reads OTEL_EXPORTER_OTLP_ENDPOINT, and the other settings of that name."""
    resource = Resource.create(
        {"service.name": f"carprice-{process}", "service.version": settings.VERSION}
    )
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    if process == "web":
        DjangoInstrumentor().instrument(
            response_hook=describe,
            excluded_urls=",".join(f"{path}$" for path in settings.PROBE_PATHS),
            middleware_position=settings.MIDDLEWARE.index(REQUEST_IDS) + 1,
        )
    else:
        CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]


def describe(span: Any, request: HttpRequest, response: Any) -> None:
    """Name the route in place of the path, and the ids that the log has."""
    match = request.resolver_match
    route = f"/{match.route}" if match else ""
    for name in OF_ADDRESSES:
        if name in span.attributes:
            span.set_attribute(name, route)
    for name in PERSONAL:
        if name in span.attributes:
            span.set_attribute(name, "")
    for name, value in current().items():
        span.set_attribute(f"carprice.{name}", value)

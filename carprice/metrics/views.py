"""GET /metrics, for those inside the deployment."""

import ipaddress

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request

from carprice.http.schema import errors
from carprice.http.views import PublicApiView
from carprice.metrics.registry import exposition

# Any of these says that a proxy passed the request on, so its peer is not who asks.
OF_PROXIES = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")


class MetricsView(PublicApiView):
    @extend_schema(
        responses={
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "Prometheus's text format."),
            **errors(404),
        }
    )
    def get(self, request: Request) -> HttpResponse:
        """What is counted and measured, for Prometheus. Everybody outside is answered 404."""
        if not is_inside(request._request):  # noqa: SLF001  # Django's own request
            raise Http404
        return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def is_inside(request: HttpRequest) -> bool:
    """Whether the request comes straight from an address that METRICS_ALLOWED has."""
    if any(name in request.META for name in OF_PROXIES):
        return False
    try:
        peer = ipaddress.ip_address(str(request.META.get("REMOTE_ADDR", "")).partition("%")[0])
    except ValueError:  # behind a socket of Unix there is a proxy
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    return any(peer in network for network in settings.METRICS_ALLOWED)

"""Which pages may load what: the Content-Security-Policy of each answer."""

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponseBase

# Of an answer that is no page: a browser that shows it as one lets it do nothing.
OF_DATA = "default-src 'none'; frame-ancestors 'none'"


class ContentSecurityPolicy(CSPMiddleware):
    """The settings' policy, for each answer that does not bring its own."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        return response if HEADER in response else super().process_response(request, response)

"""Base views of the JSON routes. They decide the order in which a request is refused."""

from typing import Any, ClassVar

from csp.constants import HEADER as CSP_HEADER
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from carprice.http import throttling
from carprice.http.errors import BODY, InvalidInput

# For answers that are data: a browser that shows one as a page loads and runs nothing.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"


class ApiView(APIView):
    """Refuses in the contract's order: 401, 405, 413, 415, 429, and what the handler refuses."""

    throttle_scopes: ClassVar[dict[str, str]] = {}  # by method; all others count as "other"
    quota: throttling.Quota | None = None  # what the client has left; None if it was refused before
    example_body: ClassVar[dict[str, Any] | None] = None  # of a request, for the route's page

    def check_throttles(self, request: Request) -> None:
        """Check the method and the body as well, which the contract has just before throttling.

        `initial` calls this last, after authentication.
        """
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        length = request.META.get("CONTENT_LENGTH") or "0"
        self._check_body(request, int(length) if length.isdecimal() else 0)
        self._count(request)
        if not length.isdecimal():
            raise InvalidInput({BODY: ["The length of the body is unknown."]})

    def _count(self, request: Request) -> None:
        scope = self.throttle_scopes.get(request.method or "", "other")
        try:
            self.quota = throttling.count_request(request, scope)
        except throttling.TooManyRequests as error:
            self.quota = throttling.spent_quota(scope, error.retry_after)
            raise

    def _check_body(self, request: Request, length: int) -> None:
        parser = self.get_content_negotiator().select_parser(request, self.get_parsers())
        if length > getattr(parser, "limit_bytes", settings.BODY_LIMIT_BYTES):
            raise RequestDataTooBig
        encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
        if (length and parser is None) or encoding.lower() != "identity":
            raise exceptions.UnsupportedMediaType(request.content_type or "none")

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        # Django logs 4xx and 5xx answers that are not marked as logged. Those of this method were
        # made on purpose, or have been logged where they failed.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
        if self.quota is not None:
            for name, value in self.quota.headers().items():
                response.headers[name] = value
        if request.accepted_renderer.format != "api":
            response.headers[CSP_HEADER] = DATA_POLICY
        return response

    def permission_denied(
        self, request: Request, message: str | None = None, code: str | None = None
    ) -> Any:
        if request.authenticators and not request.successful_authenticator:
            raise exceptions.NotAuthenticated
        super().permission_denied(request, message, code)


class PublicApiView(ApiView):
    """A route that needs no credential and ignores any."""

    authentication_classes = []
    permission_classes = [AllowAny]

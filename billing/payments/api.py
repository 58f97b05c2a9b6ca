"""POST /api/wallet/vouchers; and where Stripe tells of payments, no part of the contract."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from billing.payments import codes, events, services
from billing.serializers import ToppedUp
from carprice.http import throttling
from carprice.http.errors import NotFound
from carprice.http.parsers import read_body
from carprice.http.schema import errors
from carprice.http.serializers import StrictSerializer, StringField
from carprice.http.views import ApiView, PublicApiView
from carprice.idempotency import headers as idempotency


class VoucherCode(StrictSerializer):
    code = StringField(max_length=codes.LONGEST_SENT)


class VouchersView(ApiView):
    example_body: ClassVar = {"code": "7ZK4-M2QX-9RBT-C0VD-5HWE"}
    throttle_scopes = {"POST": "top_up"}

    @extend_schema(
        parameters=idempotency.PARAMETERS,
        request=VoucherCode,
        responses={201: ToppedUp, **errors(400, 401, 403, 409, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Redeem a voucher, once. 409 if it is used, expired or revoked."""
        return idempotency.respond_once(request, lambda: self._redeem(request))

    def _redeem(self, request: AuthenticatedRequest) -> Response:
        serializer = VoucherCode(data=request.data)
        serializer.is_valid(raise_exception=True)
        voucher = services.redeem(
            user=request.user,
            address=throttling.address(request),
            **serializer.validated_data,
        )
        return Response(ToppedUp({"transaction": voucher.entry}).data, 201)


class SignedBody(BaseParser):
    """Leaves a body as it is, which is what a signature is of."""

    media_type = "application/json"
    limit_bytes = 262_144

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return read_body(stream, parser_context)


class StripeWebhook(PublicApiView):
    """Answers 2xx only after the commit, so that Stripe tries again after whatever went wrong.

    It needs its secret and not TOP_UPS=stripe: payments end, and are refunded, after credits are no
    longer sold.
    """

    parser_classes = [SignedBody]

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        if not settings.STRIPE_WEBHOOK_SECRET:
            raise NotFound("Nothing here.")
        body: Any = request.data or b""  # which its parser has left as it is
        events.receive(events.read(body, request.headers.get("Stripe-Signature", "")))
        return Response({"received": True})

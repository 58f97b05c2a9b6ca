"""Root contract: GET and POST /balance. And /api/wallet: its sums, top-ups and transactions."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from accounts.mail.services import require_verified
from billing import services
from billing.models import CreditAccount, LedgerEntry
from billing.serializers import (
    KINDS,
    Amount,
    NewAmount,
    ToppedUp,
    TopUp,
    Transaction,
    TransactionQuery,
    Wallet,
)
from carprice.http.pagination import CursorPages, created_between, page_of
from carprice.http.schema import errors
from carprice.http.views import ApiView
from carprice.idempotency import headers as idempotency

PAGES = CursorPages("transactions", order=("id",))

# --- Root contract -------------------------------------------------------------------------------


class BalanceView(ApiView):
    example_body: ClassVar = {"new_amount": 100}
    throttle_scopes = {"POST": "top_up"}

    @extend_schema(responses={200: Amount, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """The credits that are free to spend."""
        account = CreditAccount.objects.get(pk=request.user.pk)
        return Response(Amount(account).data)

    @extend_schema(request=NewAmount, responses={200: Amount, **errors(400, 401, 403, 429)})
    def post(self, request: AuthenticatedRequest) -> Response:
        """Set the credits that are free to spend; what is held stays held.

        Where not everybody may add credits, 403 `top_ups_closed`.
        """
        services.check_top_ups_open()
        require_verified(request.user)
        serializer = NewAmount(data=request.data)
        serializer.is_valid(raise_exception=True)
        account = services.set_available(user_id=request.user.pk, **serializer.validated_data)
        return Response(Amount(account).data)


# --- /api/wallet ---------------------------------------------------------------------------------


class WalletView(ApiView):
    @extend_schema(responses={200: Wallet, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """Your credits: all of them, those held, and those free to spend."""
        return Response(Wallet(CreditAccount.objects.get(pk=request.user.pk)).data)


class TopUpView(ApiView):
    example_body: ClassVar = {"amount": 100}
    throttle_scopes = {"POST": "top_up"}

    @extend_schema(
        parameters=idempotency.PARAMETERS,
        request=TopUp,
        responses={201: ToppedUp, **errors(400, 401, 403, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Add credits. No payment is taken. Where not everybody may, 403 `top_ups_closed`."""
        services.check_top_ups_open()
        require_verified(request.user)
        return idempotency.respond_once(request, lambda: self._top_up(request))

    def _top_up(self, request: AuthenticatedRequest) -> Response:
        serializer = TopUp(data=request.data)
        serializer.is_valid(raise_exception=True)
        entry = services.top_up(user_id=request.user.pk, **serializer.validated_data)
        return Response(ToppedUp({"transaction": entry}).data, 201)


class TransactionsView(ApiView):
    @extend_schema(
        parameters=[TransactionQuery],
        responses={200: page_of(Transaction), **errors(400, 401, 429)},
    )
    def get(self, request: AuthenticatedRequest) -> Response:
        """What has changed your balance, newest first. What is merely held is not in it."""
        query = TransactionQuery.check(request)
        entries = created_between(LedgerEntry.objects.posted_of(request.user), query)
        if query["kind"]:
            entries = entries.filter(kind=KINDS[query["kind"]])
        return PAGES.respond(
            request, entries, query, lambda rows: Transaction(rows, many=True).data
        )

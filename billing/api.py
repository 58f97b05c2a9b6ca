"""Root contract: GET and POST /balance. And /api/wallet: its sums, top-ups and movements."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.authentication import AuthenticatedRequest
from billing import services
from billing.models import CreditAccount, LedgerEntry
from carprice.http.pagination import CursorPages, DatedPageQuery, created_between, page_of
from carprice.http.queries import OneOfField
from carprice.http.schema import errors
from carprice.http.serializers import IntegerField, StrictSerializer
from carprice.http.views import ApiView
from carprice.idempotency import headers as idempotency

Kind = LedgerEntry.Kind
KINDS = {
    "top_up": Kind.TOP_UP,
    "charge": Kind.CAPTURE,
    "adjustment": Kind.ADJUSTMENT,
    "refund": Kind.REFUND,
}
WORDS = {kind.value: word for word, kind in KINDS.items()}
PAGES = CursorPages("transactions", order=("id",))


class NewAmount(StrictSerializer):
    new_amount = IntegerField(min_value=0, max_value=settings.CREDIT_CEILING)


class Amount(serializers.Serializer[CreditAccount]):
    amount = serializers.IntegerField(source="available", help_text="Available credits.")


class BalanceView(ApiView):
    throttle_scopes = {"POST": "top_up"}

    @extend_schema(responses={200: Amount, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """The credits that are free to spend."""
        account = CreditAccount.objects.get(pk=request.user.pk)
        return Response(Amount(account).data)

    @extend_schema(request=NewAmount, responses={200: Amount, **errors(400, 401, 429)})
    def post(self, request: AuthenticatedRequest) -> Response:
        """Set the credits that are free to spend; what is held stays held."""
        serializer = NewAmount(data=request.data)
        serializer.is_valid(raise_exception=True)
        account = services.set_available(user_id=request.user.pk, **serializer.validated_data)
        return Response(Amount(account).data)


class TopUp(StrictSerializer):
    amount = IntegerField(min_value=1, max_value=settings.TOP_UP_LIMIT)


class Wallet(serializers.Serializer[CreditAccount]):
    balance = serializers.IntegerField(help_text="All posted credits.")
    held = serializers.IntegerField(help_text="Reserved for predictions that have not ended.")
    available = serializers.IntegerField(help_text="Free to spend: balance less held.")


class Transaction(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="transaction_id")
    kind = serializers.ChoiceField(choices=list(KINDS))
    amount = serializers.IntegerField(source="balance_change", help_text="Negative if taken.")
    balance_after = serializers.IntegerField()
    task_id = serializers.UUIDField(
        source="subject_id", allow_null=True, help_text="The prediction it pays for."
    )
    batch_id = serializers.UUIDField(allow_null=True, default=None)  # entries have none yet
    reason = serializers.CharField(help_text="An operator's; otherwise empty.")
    created_at = serializers.DateTimeField()

    @classmethod
    def bodies(cls, entries: Sequence[LedgerEntry]) -> list[dict[str, Any]]:
        transaction = cls()
        return [transaction.to_representation(entry) for entry in entries]

    def to_representation(self, instance: LedgerEntry) -> dict[str, Any]:
        return {**super().to_representation(instance), "kind": WORDS[instance.kind]}


class ToppedUp(serializers.Serializer[Any]):
    transaction = Transaction()
    wallet = Wallet(source="transaction.account")


class TransactionQuery(DatedPageQuery):
    kind = OneOfField(list(KINDS), default=None)


class WalletView(ApiView):
    @extend_schema(responses={200: Wallet, **errors(401, 429)})
    def get(self, request: AuthenticatedRequest) -> Response:
        """Your credits: all of them, those held, and those free to spend."""
        return Response(Wallet(CreditAccount.objects.get(pk=request.user.pk)).data)


class TopUpView(ApiView):
    throttle_scopes = {"POST": "top_up"}

    @extend_schema(
        parameters=idempotency.PARAMETERS,
        request=TopUp,
        responses={201: ToppedUp, **errors(400, 401, 422, 429)},
    )
    def post(self, request: AuthenticatedRequest) -> Response:
        """Add credits. No payment is taken."""
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
        return PAGES.respond(request, entries, query, Transaction.bodies)

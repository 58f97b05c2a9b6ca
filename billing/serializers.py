"""What the routes about credits take and answer."""

from typing import Any

from django.conf import settings
from rest_framework import serializers

from billing.models import CreditAccount, LedgerEntry
from carprice.http.pagination import DatedPageQuery
from carprice.http.queries import OneOfField
from carprice.http.serializers import IntegerField, StrictSerializer

Kind = LedgerEntry.Kind
# The contract's names of the kinds of entries that change a balance.
KINDS = {
    "top_up": Kind.TOP_UP,
    "charge": Kind.CAPTURE,
    "adjustment": Kind.ADJUSTMENT,
    "refund": Kind.REFUND,
}
KIND_NAMES = {kind.value: name for name, kind in KINDS.items()}

# --- Requests ------------------------------------------------------------------------------------


class NewAmount(StrictSerializer):
    new_amount = IntegerField(min_value=0, max_value=settings.CREDIT_CEILING)


class TopUp(StrictSerializer):
    amount = IntegerField(min_value=1, max_value=settings.TOP_UP_LIMIT)


class TransactionQuery(DatedPageQuery):
    kind = OneOfField(list(KINDS), default=None)


# --- Answers -------------------------------------------------------------------------------------


class Amount(serializers.Serializer[CreditAccount]):
    amount = serializers.IntegerField(source="available", help_text="Available credits.")


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
    reason = serializers.CharField(help_text="An operator's, or what paid for it; otherwise empty.")
    created_at = serializers.DateTimeField()

    def to_representation(self, instance: LedgerEntry) -> dict[str, Any]:
        return {**super().to_representation(instance), "kind": KIND_NAMES[instance.kind]}


class ToppedUp(serializers.Serializer[Any]):
    transaction = Transaction()
    wallet = Wallet(source="transaction.account")

import uuid
from datetime import UTC, datetime
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry


class VoucherQuerySet(models.QuerySet["Voucher"]):
    def open(self) -> Self:
        """Those that still can be redeemed."""
        return self.filter(redeemed_at=None, revoked_at=None).exclude(expires_at__lte=Now())


class Voucher(models.Model):
    """Credits for whoever has the code, once. Only a hash of the code is kept."""

    code_hash = models.CharField(max_length=64, unique=True, editable=False)
    beginning = models.CharField(max_length=8, help_text="Of its code, which is not kept.")
    credits = models.PositiveIntegerField()
    note = models.CharField(max_length=200, blank=True)
    batch_id = models.UUIDField(db_index=True, help_text="The same for those made together.")
    created_at = models.DateTimeField(db_default=Now())
    created_by = models.ForeignKey(User, models.PROTECT, related_name="+", db_index=False)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        User, models.PROTECT, related_name="+", null=True, db_index=False
    )
    redeemed_at = models.DateTimeField(null=True)
    entry = models.OneToOneField(
        LedgerEntry,
        models.PROTECT,
        null=True,
        related_name="voucher",
        help_text="That added its credits.",
    )

    objects = VoucherQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["created_by", "created_at"], name="voucher_maker_latest")]
        constraints = [
            models.CheckConstraint(name="voucher_of_credits", condition=Q(credits__gt=0)),
            models.CheckConstraint(
                name="voucher_redeemed_iff_credited",
                condition=Q(redeemed_at__isnull=True, entry__isnull=True)
                | Q(redeemed_at__isnull=False, entry__isnull=False),
            ),
            models.CheckConstraint(
                name="voucher_revoked_or_redeemed",
                condition=Q(revoked_at__isnull=True) | Q(redeemed_at__isnull=True),
            ),
            models.CheckConstraint(
                name="voucher_revoked_by_somebody",
                condition=Q(revoked_at__isnull=True, revoked_by__isnull=True)
                | Q(revoked_at__isnull=False, revoked_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.beginning}-…"

    @property
    def state(self) -> str:
        if self.redeemed_at:
            return "redeemed"
        if self.revoked_at:
            return "revoked"
        has_expired = self.expires_at is not None and self.expires_at <= datetime.now(UTC)
        return "expired" if has_expired else "open"


class Payment(models.Model):
    """Credits that somebody buys through Stripe.

    The row is there before Stripe is asked for anything, and all that Stripe tells of it names its
    id. It is paid once, by one entry. What was refunded of the money is taken back of the credits:
    `taken_back` of them were there to take, and `owed` are not yet.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        EXPIRED = "expired"
        FAILED = "failed"
        PAID = "paid"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(
        CreditAccount, models.PROTECT, db_index=False, related_name="payments"
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    credits = models.PositiveIntegerField()
    amount = models.PositiveBigIntegerField(help_text="In the smallest unit of its currency.")
    currency = models.CharField(max_length=3)
    session_id = models.CharField(
        max_length=255, blank=True, help_text="Stripe's, of the checkout."
    )
    payment_intent = models.CharField(max_length=255, blank=True, help_text="Stripe's.")
    created_at = models.DateTimeField(db_default=Now())
    paid_at = models.DateTimeField(null=True)
    entry = models.OneToOneField(
        LedgerEntry,
        models.PROTECT,
        null=True,
        related_name="payment",
        help_text="That added its credits.",
    )
    refunded = models.PositiveBigIntegerField(default=0, help_text="Of the amount.")
    taken_back = models.PositiveIntegerField(default=0, help_text="Credits, for what was refunded.")
    owed = models.PositiveIntegerField(
        default=0, help_text="Credits to take back that were not available."
    )

    class Meta:
        indexes = [
            models.Index(fields=["account", "-created_at"], name="payment_account_newest"),
            models.Index(fields=["-created_at"], name="payment_owed", condition=Q(owed__gt=0)),
        ]
        constraints = [
            models.CheckConstraint(
                name="payment_of_credits", condition=Q(credits__gt=0, amount__gt=0)
            ),
            models.CheckConstraint(
                name="payment_paid_iff_credited",
                condition=Q(status="paid", paid_at__isnull=False, entry__isnull=False)
                | Q(~Q(status="paid"), paid_at__isnull=True, entry__isnull=True),
            ),
            models.CheckConstraint(
                name="payment_taken_back_of_what_was_paid",
                condition=Q(refunded__lte=F("amount"), taken_back__lte=F("credits") - F("owed")),
            ),
            models.CheckConstraint(
                name="payment_taken_back_once_paid",
                condition=Q(status="paid") | Q(taken_back=0, owed=0),
            ),
        ]

    def __str__(self) -> str:
        return f"Payment {self.pk}"

    @property
    def to_take_back(self) -> int:
        """The credits that what was refunded has paid for, in whole ones."""
        return self.credits * self.refunded // self.amount


class TakeBack(models.Model):
    """One entry that took credits of a refunded payment back."""

    payment = models.ForeignKey(Payment, models.PROTECT, related_name="take_backs")
    entry = models.OneToOneField(LedgerEntry, models.PROTECT, related_name="take_back")

    def __str__(self) -> str:
        return str(self.entry)


class StripeEvent(models.Model):
    """What Stripe has told of a payment, and that was done. It tells some things twice."""

    id = models.CharField(max_length=255, primary_key=True)
    type = models.CharField(max_length=100)
    payment = models.ForeignKey(Payment, models.PROTECT, related_name="events")
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "event of Stripe"
        verbose_name_plural = "events of Stripe"

    def __str__(self) -> str:
        return self.type

from typing import Self
from uuid import UUID, uuid5

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from accounts.models import User

CEILING = settings.CREDIT_CEILING
# The UUID namespace of the ids that clients see. They may have stored some, so it never changes.
TRANSACTION_IDS = UUID("c5b1dbbb-8d53-4fd2-a0ea-8ac6ddf3b6c9")


class CreditAccount(models.Model):
    """A user's credits. `held` is the part of `balance` that open holds have reserved.

    Changed only together with a ledger entry, by `billing.services`.
    """

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="credit_account"
    )
    balance = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="account_not_overdrawn",
                condition=Q(held__gte=0, held__lte=F("balance"), balance__lte=CEILING),
            )
        ]

    def __str__(self) -> str:
        return str(self.user)

    @property
    def available(self) -> int:
        return self.balance - self.held


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    def posted_of(self, user: User) -> Self:
        """The entries that changed a user's balance."""
        return self.filter(account_id=user.pk, kind__in=LedgerEntry.POSTED)


class LedgerEntry(models.Model):
    """One change of an account. Never edited: a mistake gets a correcting entry.

    Posted entries change the balance; a hold and a release change only `held`. A capture or a
    release resolves a hold, and a refund resolves a capture; an entry is resolved at most once.
    """

    class Kind(models.TextChoices):
        TOP_UP = "top_up"
        ADJUSTMENT = "adjustment"
        REFUND = "refund"
        HOLD = "hold"
        CAPTURE = "capture", "charge"
        RELEASE = "release"

    POSTED = (Kind.TOP_UP, Kind.ADJUSTMENT, Kind.REFUND, Kind.CAPTURE)

    account = models.ForeignKey(
        CreditAccount, models.PROTECT, db_index=False, related_name="entries"
    )
    kind = models.CharField(max_length=10, choices=Kind)
    balance_change = models.BigIntegerField()
    held_change = models.BigIntegerField()
    balance_after = models.BigIntegerField()
    held_after = models.BigIntegerField()
    subject_id = models.UUIDField(null=True, help_text="The prediction it pays for.")
    resolves = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        related_name="resolution",
        help_text="The hold it ends, or the charge it gives back.",
    )
    actor = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        db_index=False,
        related_name="+",
        help_text="The operator who did it.",
    )
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["account", "-id"], name="entry_account_newest"),
            # Finds the few that are neither of predictions nor holds.
            models.Index(
                fields=["account", "kind", "-id"],
                name="entry_rare_kinds",
                condition=Q(kind__in=["top_up", "adjustment", "refund"]),
            ),
            # Finds what an operator has corrected lately; few entries have an actor.
            models.Index(
                fields=["actor", "created_at"],
                name="entry_actor_latest",
                condition=Q(actor__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="entry_changes_fit_kind",
                condition=(
                    Q(kind__in=["top_up", "refund"], balance_change__gt=0, held_change=0)
                    | Q(Q(kind="adjustment", held_change=0), ~Q(balance_change=0))
                    | Q(kind="hold", balance_change=0, held_change__gt=0)
                    # What a capture does not charge of its hold, it releases.
                    | Q(
                        kind="capture",
                        balance_change__lt=0,
                        held_change__lte=F("balance_change"),
                    )
                    | Q(kind="release", balance_change=0, held_change__lt=0)
                ),
            ),
            models.CheckConstraint(
                name="entry_resolves_iff_its_kind_does",
                condition=Q(kind__in=["capture", "release", "refund"], resolves__isnull=False)
                | Q(~Q(kind__in=["capture", "release", "refund"]), resolves__isnull=True),
            ),
            models.CheckConstraint(
                name="entry_refund_by_an_operator",
                condition=~Q(kind="refund") | Q(~Q(reason=""), actor__isnull=False),
            ),
            models.CheckConstraint(
                name="entry_leaves_account_sound",
                condition=Q(
                    held_after__gte=0,
                    held_after__lte=F("balance_after"),
                    balance_after__lte=CEILING,
                ),
            ),
            models.UniqueConstraint(
                name="entry_one_hold_per_subject", fields=["subject_id"], condition=Q(kind="hold")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.balance_change or self.held_change:+}"

    @property
    def subject_url(self) -> str:
        """The address of the page about what it pays for."""
        return reverse(settings.LEDGER_SUBJECT_VIEW, args=[self.subject_id])

    @property
    def transaction_id(self) -> UUID:
        """The id that clients see, derived from the primary key."""
        return uuid5(TRANSACTION_IDS, str(self.pk))

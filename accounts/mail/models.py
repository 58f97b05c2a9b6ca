from datetime import timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class OutgoingMailQuerySet(models.QuerySet["OutgoingMail"]):
    def due(self) -> Self:
        """Those that may be sent now, the longest waiting first."""
        return self.filter(due_at__lte=Now()).order_by("due_at", "pk")


class OutgoingMail(models.Model):
    """A mail that a worker has yet to send, and then deletes. What it says is written only then.

    So no link that opens an account is ever stored. And whoever asks for one writes the same row
    whether or not the address has an account: the worker finds that out, when nobody is waiting.
    """

    class Kind(models.TextChoices):
        RESET = "reset"
        VERIFY = "verify"
        CONFIRM_ADDRESS = "confirm_address"
        ADDRESS_ASKED = "address_asked"
        ADDRESS_CHANGED = "address_changed"
        PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a kind, no secret

    KEPT_FOR = timedelta(hours=24)  # after which nobody waits for it any more

    kind = models.CharField(max_length=20, choices=Kind)
    recipient = models.EmailField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+"
    )  # null where it is to be found by the address
    site = models.CharField(max_length=300)  # scheme and host of its links
    language = models.CharField(max_length=10)
    created_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(db_default=Now(), db_index=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    objects = OutgoingMailQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="outgoing_mail_has_a_user",
                condition=models.Q(user__isnull=False) | models.Q(kind="reset"),
            )
        ]

import uuid
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from accounts.models import User

LONGEST_URL = 500

# How long after each failed attempt the next one is made, as Standard Webhooks has it.
WAITS = [
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
]
MAX_ATTEMPTS = len(WAITS) + 1


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def due(self) -> Self:
        """Those that nobody serves now and that have something to be sent."""
        due = Delivery.objects.due().filter(endpoint=OuterRef("pk"))
        is_free = Q(busy_until=None) | Q(busy_until__lt=Now())
        return self.filter(is_free, Exists(due), disabled_at=None)


class Endpoint(models.Model):
    """An address of a user's that is called when one of their predictions ends.

    One thread at a time sends to it: the one whose token it carries, until `busy_until`.
    """

    class Disabled(models.TextChoices):  # the labels are translated where a page shows one
        BY_OWNER = "by_owner", gettext_noop("You switched it off.")
        BY_OPERATOR = "by_operator", gettext_noop("An operator switched it off.")
        FAILING = "failing", gettext_noop("Nothing got through to it for three days.")
        GONE = "gone", gettext_noop("It answered 410 Gone.")
        SECRET_LOST = "secret_lost", gettext_noop("Its secret is lost; make a new one.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="webhook_endpoints")
    url = models.CharField(max_length=LONGEST_URL)
    created_at = models.DateTimeField(db_default=Now())
    disabled_at = models.DateTimeField(null=True)
    disabled_because = models.CharField(max_length=11, choices=Disabled, blank=True)
    secret_seed = models.CharField(max_length=64, help_text="See predictions.webhooks.signing.")
    previous_seed = models.CharField(max_length=64, blank=True)
    previous_until = models.DateTimeField(null=True)

    failing_since = models.DateTimeField(null=True, help_text="Nothing has got through since.")
    claim = models.UUIDField(null=True)
    busy_until = models.DateTimeField(null=True)

    objects: ClassVar[models.Manager[Any]] = EndpointQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="webhook_disabled_for_a_reason",
                condition=Q(disabled_at=None, disabled_because="")
                | Q(Q(disabled_at__isnull=False), ~Q(disabled_because="")),
            )
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self) -> Self:
        return self.filter(state="pending", next_attempt_at__lte=Now())


class Delivery(models.Model):
    """One message to one endpoint: what it is about, and how far its delivery is.

    Rows about predictions are written by a trigger; see predictions.webhooks.triggers for that, and
    for why there are no foreign keys in the database. An attempt is counted before it is made.
    """

    class Kind(models.TextChoices):
        FINISHED = "prediction.finished"
        FAILED = "prediction.failed"
        CANCELED = "prediction.canceled"
        TEST = "webhook.test"

    class State(models.TextChoices):
        PENDING = "pending", gettext_noop("Waiting")
        DELIVERED = "delivered", gettext_noop("Delivered")
        FAILED = "failed", gettext_noop("Failed")

    class Failure(models.TextChoices):
        REFUSED_ADDRESS = "refused_address", gettext_noop("Its host has no public address.")
        TIMEOUT = "timeout", gettext_noop("It took too long.")
        CONNECTION = "connection", gettext_noop("The connection failed.")
        CERTIFICATE = "certificate", gettext_noop("Its certificate is not trusted.")
        PROTOCOL = "protocol", gettext_noop("The answer was not HTTP.")
        STATUS = "status", gettext_noop("The answer was not 2xx.")
        ERASED = "erased", gettext_noop("The prediction was deleted.")
        LOST = "lost", gettext_noop("The last attempt was interrupted.")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, models.CASCADE, db_constraint=False, db_index=False, related_name="deliveries"
    )
    prediction_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=19, choices=Kind)
    state = models.CharField(max_length=9, choices=State, db_default="pending")
    created_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(db_default=0)
    next_attempt_at = models.DateTimeField(db_default=Now())
    last_attempt_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True, help_text="Of the answer.")
    last_failure = models.CharField(max_length=15, choices=Failure, blank=True, db_default="")

    objects: ClassVar[models.Manager[Any]] = DeliveryQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["endpoint", "-created_at", "-id"], name="delivery_log"),
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                name="delivery_due",
                condition=Q(state="pending"),
            ),
            models.Index(fields=["created_at"], name="delivery_age"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="delivery_once_per_prediction", fields=["endpoint", "prediction_id"]
            )
        ]

    def __str__(self) -> str:
        return self.message_id

    @property
    def message_id(self) -> str:
        """The `webhook-id`, the same at each attempt."""
        return f"msg_{self.pk.hex}"

import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from billing.models import LedgerEntry
from mlmodels.models import Predictor, PredictorVersion


class PredictionQuerySet(models.QuerySet["Prediction"]):
    def of(self, user: User) -> Self:
        """What a user can see: their own that they have not erased."""
        return self.filter(user=user, erased_at=None)

    def submitted(self) -> Self:
        """Newest submission first; drafts were never submitted."""
        return self.exclude(queued_at=None).order_by("-queued_at", "-hold_id")

    def for_display(self) -> Self:
        """With what is told of a prediction beside its own columns."""
        rows = self.select_related("predictor", "version")
        big = ("signature", "metrics", "calibration", "report", "libraries")
        return rows.defer(*(f"version__{column}" for column in big))

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def active(self) -> Self:
        return self.filter(status__in=Prediction.ACTIVE)

    def due(self) -> Self:
        """Those that a worker could take now."""
        return self.filter(Q(retry_at=None) | Q(retry_at__lte=Now()), status="queued")


class Prediction(models.Model):
    """One row of features to be scored by one version of a predictor for one price."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELED = "canceled"

    class Failure(models.TextChoices):
        WORKER_LOST = "worker_lost", "It stopped its worker three times."
        MODEL_UNAVAILABLE = "model_unavailable", "The predictor's model could not be loaded."
        INVALID_INPUT = "invalid_input", "The predictor could not score this input."
        DEADLINE_EXCEEDED = "deadline_exceeded", "It was not scored in time."
        INTERNAL_ERROR = "internal_error", "Something went wrong on our side."

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    ENDED = (Status.FINISHED, Status.FAILED, Status.CANCELED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of their own: every change of a status would have to maintain it.
    user = models.ForeignKey(User, models.PROTECT, db_index=False, related_name="predictions")
    predictor = models.ForeignKey(Predictor, models.PROTECT, db_index=False, related_name="+")
    version = models.ForeignKey(PredictorVersion, models.PROTECT, db_index=False, related_name="+")
    status = models.CharField(max_length=8, choices=Status)
    price = models.PositiveIntegerField(help_text="Credits, fixed at submission.")
    data = models.JSONField(help_text="Every feature as used; of a draft, whatever was given.")
    defaulted = models.JSONField(default=list, help_text="Features that took their default.")
    entered = models.JSONField(null=True, help_text="Values given in another unit, as given.")
    explain = models.BooleanField(default=False, db_default=False)

    created_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    erased_at = models.DateTimeField(
        null=True, help_text="When its user deleted it: inputs and result are gone since."
    )

    value = models.FloatField(null=True, help_text="The result, in the target's unit.")
    explanation = models.JSONField(null=True, help_text="What the result is made of, if asked.")
    failure = models.CharField(max_length=20, choices=Failure, blank=True)

    # How it is run. `claim` fences: only the worker whose token the row carries may settle it.
    hold = models.OneToOneField(LedgerEntry, models.PROTECT, null=True, related_name="+")
    claim = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, help_text="Not before, after a passing failure.")
    # The queue is served by turns, one row of each user in a round; see `predictions.queue`.
    turn = models.BigIntegerField(null=True)

    objects = PredictionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="prediction_history"),
            models.Index(
                fields=["version", "turn", "queued_at"],
                name="prediction_queue",
                condition=Q(status="queued"),
            ),
            models.Index(
                fields=["user", "version", "turn"],
                name="prediction_queue_of_user",
                condition=Q(status="queued"),
            ),
            models.Index(
                fields=["lease_expires_at"],
                name="prediction_leases",
                condition=Q(status="running"),
            ),
            models.Index(
                fields=["deadline_at"],
                name="prediction_deadlines",
                condition=Q(status__in=["queued", "running"]),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="prediction_has_what_its_status_needs",
                condition=(
                    Q(status="draft", queued_at=None, hold=None)
                    | Q(
                        status="queued",
                        queued_at__isnull=False,
                        hold__isnull=False,
                        deadline_at__isnull=False,
                        turn__isnull=False,
                        claim=None,
                    )
                    | Q(
                        status="running",
                        started_at__isnull=False,
                        hold__isnull=False,
                        deadline_at__isnull=False,
                        claim__isnull=False,
                        lease_expires_at__isnull=False,
                    )
                    | Q(
                        Q(value__isnull=False) | Q(erased_at__isnull=False),
                        status="finished",
                        hold__isnull=False,
                    )
                    | Q(Q(status="failed", hold__isnull=False, value=None), ~Q(failure=""))
                    | Q(status="canceled", value=None)
                ),
            ),
            models.CheckConstraint(
                name="prediction_ended_iff_finished_at",
                condition=Q(
                    status__in=["finished", "failed", "canceled"], finished_at__isnull=False
                )
                | Q(status__in=["draft", "queued", "running"], finished_at=None, value=None),
            ),
            models.CheckConstraint(
                name="prediction_erased_only_when_ended",
                condition=Q(erased_at=None)
                | Q(status__in=["finished", "failed", "canceled"], value=None),
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def has_ended(self) -> bool:
        return self.status in self.ENDED

    @property
    def charged(self) -> int:
        return self.price if self.status == self.Status.FINISHED else 0


class WhatIf(models.Model):
    """What a finished prediction would have been with other features, by the same version.

    It is free, so it holds nothing, and to score one twice does no harm.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    prediction = models.ForeignKey(Prediction, models.CASCADE, related_name="what_ifs")
    version = models.ForeignKey(PredictorVersion, models.PROTECT, db_index=False, related_name="+")
    data = models.JSONField(help_text="Every feature as used.")
    created_at = models.DateTimeField(db_default=Now())
    deadline_at = models.DateTimeField(help_text="Nobody waits for it any longer.")
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True)
    value = models.FloatField(null=True, help_text="The result, in the target's unit.")
    failure = models.CharField(max_length=20, choices=Prediction.Failure, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["version", "created_at"],
                name="what_if_queue",
                condition=Q(value=None, failure=""),
            )
        ]
        constraints = [
            models.CheckConstraint(
                name="what_if_has_one_outcome", condition=Q(value=None) | Q(failure="")
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def changed(self) -> dict[str, Any]:
        """The features that differ from the prediction's, as used."""
        before = self.prediction.data
        return {name: value for name, value in self.data.items() if value != before.get(name)}

    @property
    def changed_from(self) -> dict[str, Any]:
        """What those were in the prediction."""
        before = self.prediction.data
        return {name: before.get(name) for name in self.changed}


class Heartbeat(models.Model):
    """When a worker process last ran a task: shows that the way from broker to worker is open."""

    worker = models.CharField(max_length=200, primary_key=True)
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.worker

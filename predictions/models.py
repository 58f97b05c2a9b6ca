import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from accounts.models import User
from billing.models import LedgerEntry
from carprice.db.dialect import Moment
from mlmodels.models import Predictor, PredictorVersion

R = TypeVar("R", bound="ScoringRequest")

LONGEST_LABEL = 80


@dataclass(frozen=True)
class ScoringPolicy:
    """How rows of one kind are claimed and retried."""

    rows_per_claim: int
    lease: timedelta
    max_attempts: int
    retry_pause: timedelta  # before the second attempt


class ScoringRequestQuerySet(models.QuerySet[R]):
    def active(self) -> Self:
        """Those that have not ended, but for drafts."""
        # Without parameters: a statement that the server has planned for all of them uses no
        # partial index.
        return self.filter(finished_at=None, queued_at__isnull=False)

    def due(self) -> Self:
        """Those that a worker could claim now."""
        is_paused = Q(retry_at__gt=Now())
        return self.exclude(is_paused).filter(status="queued", deadline_at__gt=Now())


class ScoringRequest(models.Model):
    """A row that waits for a score: what is to be scored, by which version, and how far it is.

    `claim` fences: only the worker whose token the row carries may settle it.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELED = "canceled"

    class Failure(models.TextChoices):  # the labels are translated where a page shows one
        WORKER_LOST = "worker_lost", gettext_noop("Each attempt to score it stopped its worker.")
        MODEL_UNAVAILABLE = (
            "model_unavailable",
            gettext_noop("The predictor's model could not be loaded."),
        )
        INVALID_INPUT = "invalid_input", gettext_noop("The predictor could not score this input.")
        DEADLINE_EXCEEDED = "deadline_exceeded", gettext_noop("It was not scored in time.")
        INTERNAL_ERROR = "internal_error", gettext_noop("Something went wrong on our side.")

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    ENDED = (Status.FINISHED, Status.FAILED, Status.CANCELED)
    HOLDS_CREDITS: ClassVar[bool] = False
    RETRY_RANK: ClassVar[int] = -1  # retries are claimed one by one, beside the first attempts

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of its own: every change of a status would have to maintain it.
    version = models.ForeignKey(PredictorVersion, models.PROTECT, db_index=False, related_name="+")
    status = models.CharField(max_length=8, choices=Status)
    data = models.JSONField(help_text="Every feature as used; of a draft, whatever was entered.")
    explain = models.BooleanField(default=False, db_default=False)

    created_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    value = models.FloatField(null=True, help_text="The result, in the target's unit.")
    explanation = models.JSONField(
        null=True, help_text="What the result is made of, if that was to be explained."
    )
    failure = models.CharField(max_length=20, choices=Failure, blank=True)

    claim = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    retry_at = models.DateTimeField(null=True, help_text="Not before, after a transient failure.")
    queue_rank = models.BigIntegerField(null=True, help_text="See predictions.queue.")

    objects: ClassVar[models.Manager[Any]] = ScoringRequestQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                name="%(class)s_ended_iff_finished_at",
                condition=Q(
                    status__in=["finished", "failed", "canceled"], finished_at__isnull=False
                )
                | Q(status__in=["draft", "queued", "running"], finished_at=None, value=None),
            )
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @classmethod
    def policy(cls) -> ScoringPolicy:
        raise NotImplementedError

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def has_ended(self) -> bool:
        return self.status in self.ENDED


class PredictionQuerySet(ScoringRequestQuerySet["Prediction"]):
    def of(self, user: User) -> Self:
        """What a user can see: their own that they have not erased."""
        return self.filter(user=user, erased_at=None)

    def submitted(self) -> Self:
        """Newest submission first; drafts were never submitted."""
        return self.exclude(queued_at=None).order_by("-queued_at", "-hold_id")

    def id_batches(self, size: int) -> Iterator[list[uuid.UUID]]:
        """The ids of `submitted` rows, by queries of at most `size` rows each.

        A row that is there from the first query to the last comes once. All but the last batch have
        `size` rows.
        """
        rows, keys = self, self.model.objects.values_list("queued_at", "hold_id")
        while batch := list(rows.values_list("pk", flat=True)[:size]):
            yield batch
            if len(batch) < size:
                return
            queued_at, hold_id = keys.get(pk=batch[-1])
            assert queued_at is not None  # noqa: S101  # it was submitted
            moment = Moment(queued_at)
            is_older = Q(queued_at__lt=moment) | Q(hold_id__lt=hold_id)
            rows = self.filter(is_older, queued_at__lte=moment)

    def for_display(self) -> Self:
        """With what is shown of a prediction beside its own columns."""
        rows = self.select_related("predictor", "version")
        large = ("signature", "metrics", "calibration", "report", "libraries")
        return rows.defer(*(f"version__{column}" for column in large))

    def newest_first(self) -> Self:
        return self.order_by("-created_at", "-id")

    def newest_batches(self, size: int) -> Iterator[list["Prediction"]]:
        """The newest first, each batch by an index from where the last one ended."""
        left = self
        while batch := list(left.newest_first()[:size]):
            yield batch
            last, moment = batch[-1], Moment(batch[-1].created_at)
            is_older = Q(created_at__lt=moment) | Q(id__lt=last.pk)
            left = self.filter(is_older, created_at__lte=moment)


class Prediction(ScoringRequest):
    """One row of features to be scored by one version of a predictor for one price."""

    HOLDS_CREDITS = True

    # No index of their own, for the same reason.
    user = models.ForeignKey(User, models.PROTECT, db_index=False, related_name="predictions")
    predictor = models.ForeignKey(Predictor, models.PROTECT, db_index=False, related_name="+")
    price = models.PositiveIntegerField(help_text="Credits, fixed at submission.")
    defaulted = models.JSONField(default=list, help_text="Features that took their default.")
    entered = models.JSONField(null=True, help_text="Values entered in another unit, as entered.")
    label = models.CharField(
        max_length=LONGEST_LABEL, blank=True, default="", db_default="", help_text="Its user's own."
    )
    erased_at = models.DateTimeField(
        null=True, help_text="When its user deleted it: inputs and result are gone since."
    )
    hold = models.OneToOneField(LedgerEntry, models.PROTECT, null=True, related_name="+")

    # Where it stands in its queue, from 1; set by queries that ask predictions.queue for it.
    position: int | None = None

    objects: ClassVar[models.Manager[Any]] = PredictionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "-created_at", "-id"], name="prediction_history"),
            # The filters of that list: each finds few rows among very many of others.
            models.Index(
                fields=["user", "status", "-created_at", "-id"], name="prediction_by_status"
            ),
            models.Index(
                fields=["user", "predictor", "-created_at", "-id"], name="prediction_by_predictor"
            ),
            models.Index(
                fields=["user", "-created_at", "-id"],
                name="prediction_active",
                condition=Q(finished_at=None, queued_at__isnull=False),
            ),
            models.Index(
                fields=["user", "-queued_at", "-hold"],
                name="prediction_submitted",
                condition=Q(queued_at__isnull=False),
            ),
            models.Index(
                fields=["version", "queue_rank", "queued_at"],
                name="prediction_queue",
                condition=Q(status="queued"),
            ),
            models.Index(
                fields=["user", "version", "queue_rank"],
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
            *ScoringRequest.Meta.constraints,
            models.CheckConstraint(
                name="prediction_has_what_its_status_needs",
                condition=(
                    Q(status="draft", queued_at=None, hold=None)
                    | Q(
                        status="queued",
                        queued_at__isnull=False,
                        hold__isnull=False,
                        deadline_at__isnull=False,
                        queue_rank__isnull=False,
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
                name="prediction_erased_only_when_ended",
                condition=Q(erased_at=None)
                | Q(status__in=["finished", "failed", "canceled"], value=None),
            ),
        ]

    @classmethod
    def policy(cls) -> ScoringPolicy:
        return ScoringPolicy(
            rows_per_claim=settings.CLAIM_ROWS,
            lease=timedelta(seconds=settings.LEASE_SECONDS),
            max_attempts=settings.MAX_ATTEMPTS,
            retry_pause=timedelta(seconds=settings.RETRY_SECONDS),
        )

    @property
    def charged(self) -> int:
        return self.price if self.status == self.Status.FINISHED else 0


class WhatIf(ScoringRequest):
    """What a finished prediction would have been with other features, by the same version.

    It is free, so it holds nothing, and it is queued behind no prediction. One that varies no
    prediction is a visitor's trial, and is deleted once it is answered.
    """

    prediction = models.ForeignKey(Prediction, models.CASCADE, null=True, related_name="what_ifs")
    entered = models.JSONField(null=True, help_text="Changes entered in another unit, as entered.")

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["version", "queue_rank", "queued_at"],
                name="what_if_queue",
                condition=Q(status="queued"),
            ),
            models.Index(
                fields=["lease_expires_at"],
                name="what_if_leases",
                condition=Q(status="running"),
            ),
            models.Index(
                fields=["deadline_at"],
                name="what_if_deadlines",
                condition=Q(status__in=["queued", "running"]),
            ),
            models.Index(
                fields=["finished_at"], name="what_if_failures", condition=Q(status="failed")
            ),
        ]
        constraints = [
            *ScoringRequest.Meta.constraints,
            models.CheckConstraint(
                name="what_if_has_what_its_status_needs",
                condition=(
                    Q(
                        status="queued",
                        queued_at__isnull=False,
                        deadline_at__isnull=False,
                        queue_rank__isnull=False,
                        claim=None,
                    )
                    | Q(
                        status="running",
                        deadline_at__isnull=False,
                        claim__isnull=False,
                        lease_expires_at__isnull=False,
                    )
                    | Q(status="finished", value__isnull=False, failure="")
                    | Q(Q(status="failed", value=None), ~Q(failure=""))
                ),
            ),
        ]

    @classmethod
    def policy(cls) -> ScoringPolicy:
        """Somebody waits for it, so what its worker has lost is retried soon, and once."""
        return ScoringPolicy(
            rows_per_claim=16,
            lease=timedelta(seconds=5),
            max_attempts=2,
            retry_pause=timedelta(),
        )

    @property
    def changed(self) -> dict[str, Any]:
        """The features that differ from the prediction's, as used."""
        before = self.varied.data
        return {name: value for name, value in self.data.items() if value != before.get(name)}

    @property
    def changed_from(self) -> dict[str, Any]:
        """What those were in the prediction."""
        before = self.varied.data
        return {name: before.get(name) for name in self.changed}

    @property
    def varied(self) -> Prediction:
        """Its prediction, which all but a trial have."""
        assert self.prediction is not None  # noqa: S101
        return self.prediction


class ShareLink(models.Model):
    """An address at which anybody who knows it sees a finished prediction, until it expires.

    A prediction has at most one; to revoke it is to delete it.
    """

    token = models.CharField(max_length=43, primary_key=True)
    prediction = models.OneToOneField(Prediction, models.CASCADE, related_name="share_link")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.prediction_id)


class Example(models.Model):
    """A version's result for its domain's own case, for the start page; nobody asked or paid."""

    version = models.OneToOneField(
        PredictorVersion, models.CASCADE, primary_key=True, related_name="+"
    )
    data = models.JSONField()
    defaulted = models.JSONField()
    value = models.FloatField()
    explanation = models.JSONField(null=True)

    def __str__(self) -> str:
        return str(self.version_id)


class AuditRun(models.Model):
    """That every invariant was checked, how many breaches were found, and the sums of all accounts.

    The sums are kept because the audit reads every account anyway, and a page must not.
    """

    ended_at = models.DateTimeField(db_default=Now())
    breaches = models.PositiveIntegerField()
    seconds = models.FloatField()
    accounts = models.PositiveBigIntegerField()
    balance = models.BigIntegerField()
    held = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["-ended_at"], name="audit_run_newest")]

    def __str__(self) -> str:
        return str(self.pk)


class Heartbeat(models.Model):
    """When a worker process last ran a task: shows that the way from broker to worker is open."""

    worker = models.CharField(max_length=200, primary_key=True)
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.worker

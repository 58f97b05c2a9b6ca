import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User


class PredictorQuerySet(models.QuerySet["Predictor"]):
    def on_sale(self) -> "PredictorQuerySet":
        """Predictors that can be bought now, cheapest first."""
        return self.filter(
            enabled=True, current_version__isnull=False, current_version__fault=""
        ).order_by("price", "name")

    def with_version(self) -> "PredictorQuerySet":
        """Fetch the current version as well, without its large columns."""
        large = (f"current_version__{column}" for column in PredictorVersion.LARGE)
        return self.select_related("current_version").defer(*large)


class Predictor(models.Model):
    """An entry of the catalogue: what it is called, what it costs, which version scores."""

    name = models.SlugField("model name", max_length=60, unique=True)
    domain = models.CharField(max_length=60)
    title = models.CharField(max_length=100)
    algorithm = models.CharField(max_length=100)
    summary = models.CharField(max_length=300)
    price = models.PositiveIntegerField(help_text="Credits for one prediction.")
    price_set_by = models.ForeignKey(
        User, models.PROTECT, null=True, editable=False, related_name="+"
    )
    enabled = models.BooleanField("on sale", default=True)
    current_version = models.ForeignKey(
        "PredictorVersion", models.PROTECT, null=True, editable=False, related_name="+"
    )

    objects = PredictorQuerySet.as_manager()

    class Meta:
        ordering = ["domain", "price", "name"]
        constraints = [
            models.CheckConstraint(
                name="predictor_price_in_range", condition=Q(price__gte=1, price__lte=1_000_000)
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_on_sale(self) -> bool:
        """Whether it can be bought now, by the condition of `on_sale`; a query."""
        return Predictor.objects.on_sale().filter(pk=self.pk).exists()


class PriceChange(models.Model):
    """Who set which price, and when; `actor` is null where training set it."""

    predictor = models.ForeignKey(Predictor, models.PROTECT, related_name="price_changes")
    price = models.PositiveIntegerField()
    previous = models.PositiveIntegerField(null=True)
    actor = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField("changed at", db_default=Now())

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.previous} → {self.price}"


class PredictorVersion(models.Model):
    """One fitted model and everything needed to trust, load and describe it.

    Never edited after it is published, except for what workers find out about its artefact:
    `fault` says why it cannot be loaded, and `loadable_at` when a worker that has the libraries it
    needs was last at work.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    predictor = models.ForeignKey(Predictor, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    target = models.CharField(max_length=60)
    unit = models.CharField(max_length=30)
    signature = models.JSONField()
    metrics = models.JSONField()
    calibration = models.JSONField(
        null=True, help_text="Of ranges; see mlmodels.serving.intervals."
    )
    report = models.JSONField(default=dict, help_text="What the page about the predictor draws.")
    artefact_sha256 = models.CharField(max_length=64)
    artefact_format = models.PositiveIntegerField()
    sklearn_version = models.CharField(max_length=30)
    libraries = models.JSONField()
    data_sha256 = models.CharField(max_length=64)
    seed = models.PositiveIntegerField()
    trained_at = models.DateTimeField()
    fault = models.CharField(max_length=300, blank=True)
    loadable_at = models.DateTimeField(
        null=True, help_text="When a worker with the libraries it needs was last at work."
    )

    LARGE = ("signature", "report")  # columns that are deferred where they are not needed

    class Meta:
        constraints = [
            models.UniqueConstraint(name="version_number_unique", fields=["predictor", "number"])
        ]

    def __str__(self) -> str:
        return f"{self.predictor} {self.label}"

    @property
    def label(self) -> str:
        return f"{self.number}-{self.artefact_sha256[:8]}"

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Predictor",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.SlugField(max_length=60, unique=True, verbose_name="model name")),
                ("domain", models.CharField(max_length=60)),
                ("title", models.CharField(max_length=100)),
                ("algorithm", models.CharField(max_length=100)),
                ("summary", models.CharField(max_length=300)),
                ("price", models.PositiveIntegerField(help_text="Credits for one prediction.")),
                ("enabled", models.BooleanField(default=True, verbose_name="on sale")),
                (
                    "price_set_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["domain", "price", "name"],
            },
        ),
        migrations.CreateModel(
            name="PredictorVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("target", models.CharField(max_length=60)),
                ("unit", models.CharField(max_length=30)),
                ("signature", models.JSONField()),
                ("metrics", models.JSONField()),
                (
                    "calibration",
                    models.JSONField(
                        help_text="Of ranges; see mlmodels.serving.intervals.", null=True
                    ),
                ),
                (
                    "report",
                    models.JSONField(
                        default=dict, help_text="What the page about the predictor draws."
                    ),
                ),
                ("artefact_sha256", models.CharField(max_length=64)),
                ("artefact_format", models.PositiveIntegerField()),
                ("sklearn_version", models.CharField(max_length=30)),
                ("libraries", models.JSONField()),
                ("data_sha256", models.CharField(max_length=64)),
                ("seed", models.PositiveIntegerField()),
                ("trained_at", models.DateTimeField()),
                ("fault", models.CharField(blank=True, max_length=300)),
                (
                    "loadable_at",
                    models.DateTimeField(
                        help_text="When a worker with the libraries it needs was last at work.",
                        null=True,
                    ),
                ),
                (
                    "predictor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="mlmodels.predictor",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="predictor",
            name="current_version",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="mlmodels.predictorversion",
            ),
        ),
        migrations.CreateModel(
            name="PriceChange",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("price", models.PositiveIntegerField()),
                ("previous", models.PositiveIntegerField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        verbose_name="changed at",
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "predictor",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="price_changes",
                        to="mlmodels.predictor",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddConstraint(
            model_name="predictorversion",
            constraint=models.UniqueConstraint(
                fields=("predictor", "number"), name="version_number_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="predictor",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__gte", 1), ("price__lte", 1000000)),
                name="predictor_price_in_range",
            ),
        ),
    ]

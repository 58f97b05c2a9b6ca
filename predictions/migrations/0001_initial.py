import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from predictions import triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("billing", "0001_initial"),
        ("mlmodels", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("worker", models.CharField(max_length=200, primary_key=True, serialize=False)),
                ("beat_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Prediction",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "data",
                    models.JSONField(
                        help_text="Every feature as used; of a draft, whatever was entered."
                    ),
                ),
                ("explain", models.BooleanField(db_default=False, default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("queued_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "value",
                    models.FloatField(help_text="The result, in the target's unit.", null=True),
                ),
                (
                    "explanation",
                    models.JSONField(
                        help_text="What the result is made of, if that was to be explained.",
                        null=True,
                    ),
                ),
                (
                    "failure",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("worker_lost", "Each attempt to score it stopped its worker."),
                            ("model_unavailable", "The predictor's model could not be loaded."),
                            ("invalid_input", "The predictor could not score this input."),
                            ("deadline_exceeded", "It was not scored in time."),
                            ("internal_error", "Something went wrong on our side."),
                        ],
                        max_length=20,
                    ),
                ),
                ("claim", models.UUIDField(null=True)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("deadline_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "retry_at",
                    models.DateTimeField(
                        help_text="Not before, after a transient failure.", null=True
                    ),
                ),
                (
                    "queue_rank",
                    models.BigIntegerField(help_text="See predictions.queue.", null=True),
                ),
                ("price", models.PositiveIntegerField(help_text="Credits, fixed at submission.")),
                (
                    "defaulted",
                    models.JSONField(default=list, help_text="Features that took their default."),
                ),
                (
                    "entered",
                    models.JSONField(
                        help_text="Values entered in another unit, as entered.", null=True
                    ),
                ),
                (
                    "erased_at",
                    models.DateTimeField(
                        help_text="When its user deleted it: inputs and result are gone since.",
                        null=True,
                    ),
                ),
                (
                    "hold",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="billing.ledgerentry",
                    ),
                ),
                (
                    "predictor",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mlmodels.predictor",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="predictions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mlmodels.predictorversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="WhatIf",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("finished", "Finished"),
                            ("failed", "Failed"),
                            ("canceled", "Canceled"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "data",
                    models.JSONField(
                        help_text="Every feature as used; of a draft, whatever was entered."
                    ),
                ),
                ("explain", models.BooleanField(db_default=False, default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("queued_at", models.DateTimeField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "value",
                    models.FloatField(help_text="The result, in the target's unit.", null=True),
                ),
                (
                    "explanation",
                    models.JSONField(
                        help_text="What the result is made of, if that was to be explained.",
                        null=True,
                    ),
                ),
                (
                    "failure",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("worker_lost", "Each attempt to score it stopped its worker."),
                            ("model_unavailable", "The predictor's model could not be loaded."),
                            ("invalid_input", "The predictor could not score this input."),
                            ("deadline_exceeded", "It was not scored in time."),
                            ("internal_error", "Something went wrong on our side."),
                        ],
                        max_length=20,
                    ),
                ),
                ("claim", models.UUIDField(null=True)),
                ("lease_expires_at", models.DateTimeField(null=True)),
                ("deadline_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "retry_at",
                    models.DateTimeField(
                        help_text="Not before, after a transient failure.", null=True
                    ),
                ),
                (
                    "queue_rank",
                    models.BigIntegerField(help_text="See predictions.queue.", null=True),
                ),
                (
                    "prediction",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="what_ifs",
                        to="predictions.prediction",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="mlmodels.predictorversion",
                    ),
                ),
            ],
            options={
                "ordering": ["created_at", "id"],
            },
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(fields=["user", "-created_at", "-id"], name="prediction_history"),
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["version", "queue_rank", "queued_at"],
                name="prediction_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["user", "version", "queue_rank"],
                name="prediction_queue_of_user",
            ),
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                condition=models.Q(("status", "running")),
                fields=["lease_expires_at"],
                name="prediction_leases",
            ),
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["deadline_at"],
                name="prediction_deadlines",
            ),
        ),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False),
                        ("status__in", ["finished", "failed", "canceled"]),
                    ),
                    models.Q(
                        ("finished_at", None),
                        ("status__in", ["draft", "queued", "running"]),
                        ("value", None),
                    ),
                    _connector="OR",
                ),
                name="prediction_ended_iff_finished_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("hold", None), ("queued_at", None), ("status", "draft")),
                    models.Q(
                        ("claim", None),
                        ("deadline_at__isnull", False),
                        ("hold__isnull", False),
                        ("queue_rank__isnull", False),
                        ("queued_at__isnull", False),
                        ("status", "queued"),
                    ),
                    models.Q(
                        ("claim__isnull", False),
                        ("deadline_at__isnull", False),
                        ("hold__isnull", False),
                        ("lease_expires_at__isnull", False),
                        ("started_at__isnull", False),
                        ("status", "running"),
                    ),
                    models.Q(
                        models.Q(
                            ("value__isnull", False), ("erased_at__isnull", False), _connector="OR"
                        ),
                        ("hold__isnull", False),
                        ("status", "finished"),
                    ),
                    models.Q(
                        models.Q(("hold__isnull", False), ("status", "failed"), ("value", None)),
                        models.Q(("failure", ""), _negated=True),
                    ),
                    models.Q(("status", "canceled"), ("value", None)),
                    _connector="OR",
                ),
                name="prediction_has_what_its_status_needs",
            ),
        ),
        migrations.AddConstraint(
            model_name="prediction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("erased_at", None),
                    models.Q(("status__in", ["finished", "failed", "canceled"]), ("value", None)),
                    _connector="OR",
                ),
                name="prediction_erased_only_when_ended",
            ),
        ),
        migrations.AddIndex(
            model_name="whatif",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["version", "queue_rank", "queued_at"],
                name="what_if_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="whatif",
            index=models.Index(
                condition=models.Q(("status", "running")),
                fields=["lease_expires_at"],
                name="what_if_leases",
            ),
        ),
        migrations.AddIndex(
            model_name="whatif",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["deadline_at"],
                name="what_if_deadlines",
            ),
        ),
        migrations.AddIndex(
            model_name="whatif",
            index=models.Index(
                condition=models.Q(("status", "failed")),
                fields=["finished_at"],
                name="what_if_failures",
            ),
        ),
        migrations.AddConstraint(
            model_name="whatif",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False),
                        ("status__in", ["finished", "failed", "canceled"]),
                    ),
                    models.Q(
                        ("finished_at", None),
                        ("status__in", ["draft", "queued", "running"]),
                        ("value", None),
                    ),
                    _connector="OR",
                ),
                name="whatif_ended_iff_finished_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="whatif",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("claim", None),
                        ("deadline_at__isnull", False),
                        ("queue_rank__isnull", False),
                        ("queued_at__isnull", False),
                        ("status", "queued"),
                    ),
                    models.Q(
                        ("claim__isnull", False),
                        ("deadline_at__isnull", False),
                        ("lease_expires_at__isnull", False),
                        ("status", "running"),
                    ),
                    models.Q(("failure", ""), ("status", "finished"), ("value__isnull", False)),
                    models.Q(
                        models.Q(("status", "failed"), ("value", None)),
                        models.Q(("failure", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="what_if_has_what_its_status_needs",
            ),
        ),
        migrations.RunPython(triggers.create, migrations.RunPython.noop),
    ]

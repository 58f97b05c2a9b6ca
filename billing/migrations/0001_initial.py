import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from billing import triggers


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditAccount",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="credit_account",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("balance", models.BigIntegerField(default=0)),
                ("held", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("balance__lte", 1000000000),
                            ("held__gte", 0),
                            ("held__lte", models.F("balance")),
                        ),
                        name="account_not_overdrawn",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("top_up", "Top Up"),
                            ("adjustment", "Adjustment"),
                            ("refund", "Refund"),
                            ("hold", "Hold"),
                            ("capture", "charge"),
                            ("release", "Release"),
                        ],
                        max_length=10,
                    ),
                ),
                ("balance_change", models.BigIntegerField()),
                ("held_change", models.BigIntegerField()),
                ("balance_after", models.BigIntegerField()),
                ("held_after", models.BigIntegerField()),
                (
                    "subject_id",
                    models.UUIDField(help_text="The prediction it pays for.", null=True),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="entries",
                        to="billing.creditaccount",
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        db_index=False,
                        help_text="The operator who did it.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "resolves",
                    models.OneToOneField(
                        help_text="The hold it ends, or the charge it gives back.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="resolution",
                        to="billing.ledgerentry",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "ledger entries",
                "indexes": [models.Index(fields=["account", "-id"], name="entry_account_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("balance_change__gt", 0),
                                ("held_change", 0),
                                ("kind__in", ["top_up", "refund"]),
                            ),
                            models.Q(
                                models.Q(("held_change", 0), ("kind", "adjustment")),
                                models.Q(("balance_change", 0), _negated=True),
                            ),
                            models.Q(
                                ("balance_change", 0), ("held_change__gt", 0), ("kind", "hold")
                            ),
                            models.Q(
                                ("balance_change__lt", 0),
                                ("held_change__lte", models.F("balance_change")),
                                ("kind", "capture"),
                            ),
                            models.Q(
                                ("balance_change", 0), ("held_change__lt", 0), ("kind", "release")
                            ),
                            _connector="OR",
                        ),
                        name="entry_changes_fit_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("kind__in", ["capture", "release", "refund"]),
                                ("resolves__isnull", False),
                            ),
                            models.Q(
                                models.Q(
                                    ("kind__in", ["capture", "release", "refund"]), _negated=True
                                ),
                                ("resolves__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="entry_resolves_iff_its_kind_does",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "refund"), _negated=True),
                            models.Q(
                                models.Q(("reason", ""), _negated=True), ("actor__isnull", False)
                            ),
                            _connector="OR",
                        ),
                        name="entry_refund_by_an_operator",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("balance_after__lte", 1000000000),
                            ("held_after__gte", 0),
                            ("held_after__lte", models.F("balance_after")),
                        ),
                        name="entry_leaves_account_sound",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "hold")),
                        fields=("subject_id",),
                        name="entry_one_hold_per_subject",
                    ),
                ],
            },
        ),
        migrations.RunPython(triggers.create, migrations.RunPython.noop),
    ]

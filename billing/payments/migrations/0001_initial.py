import uuid

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("billing", "0003_rare_kinds"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Payment",
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
                            ("pending", "Pending"),
                            ("expired", "Expired"),
                            ("failed", "Failed"),
                            ("paid", "Paid"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("credits", models.PositiveIntegerField()),
                (
                    "amount",
                    models.PositiveBigIntegerField(
                        help_text="In the smallest unit of its currency."
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "session_id",
                    models.CharField(
                        blank=True, help_text="Stripe's, of the checkout.", max_length=255
                    ),
                ),
                (
                    "payment_intent",
                    models.CharField(blank=True, help_text="Stripe's.", max_length=255),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("paid_at", models.DateTimeField(null=True)),
                ("refunded", models.PositiveBigIntegerField(default=0, help_text="Of the amount.")),
                (
                    "taken_back",
                    models.PositiveIntegerField(
                        default=0, help_text="Credits, for what was refunded."
                    ),
                ),
                (
                    "owed",
                    models.PositiveIntegerField(
                        default=0, help_text="Credits to take back that were not available."
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to="billing.creditaccount",
                    ),
                ),
                (
                    "entry",
                    models.OneToOneField(
                        help_text="That added its credits.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payment",
                        to="billing.ledgerentry",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StripeEvent",
            fields=[
                ("id", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("type", models.CharField(max_length=100)),
                (
                    "received_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="payments.payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "event of Stripe",
                "verbose_name_plural": "events of Stripe",
            },
        ),
        migrations.CreateModel(
            name="TakeBack",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "entry",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="take_back",
                        to="billing.ledgerentry",
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="take_backs",
                        to="payments.payment",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Voucher",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code_hash", models.CharField(editable=False, max_length=64, unique=True)),
                (
                    "beginning",
                    models.CharField(help_text="Of its code, which is not kept.", max_length=8),
                ),
                ("credits", models.PositiveIntegerField()),
                ("note", models.CharField(blank=True, max_length=200)),
                (
                    "batch_id",
                    models.UUIDField(db_index=True, help_text="The same for those made together."),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("expires_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("redeemed_at", models.DateTimeField(null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "entry",
                    models.OneToOneField(
                        help_text="That added its credits.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="voucher",
                        to="billing.ledgerentry",
                    ),
                ),
                (
                    "revoked_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(fields=["account", "-created_at"], name="payment_account_newest"),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("owed__gt", 0)), fields=["-created_at"], name="payment_owed"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("credits__gt", 0)), name="payment_of_credits"
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("entry__isnull", False), ("paid_at__isnull", False), ("status", "paid")
                    ),
                    models.Q(
                        models.Q(("status", "paid"), _negated=True),
                        ("entry__isnull", True),
                        ("paid_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="payment_paid_iff_credited",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("refunded__lte", models.F("amount")),
                    (
                        "taken_back__lte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("credits"), "-", models.F("owed")
                        ),
                    ),
                ),
                name="payment_taken_back_of_what_was_paid",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status", "paid"), models.Q(("owed", 0), ("taken_back", 0)), _connector="OR"
                ),
                name="payment_taken_back_once_paid",
            ),
        ),
        migrations.AddIndex(
            model_name="voucher",
            index=models.Index(fields=["created_by", "created_at"], name="voucher_maker_latest"),
        ),
        migrations.AddConstraint(
            model_name="voucher",
            constraint=models.CheckConstraint(
                condition=models.Q(("credits__gt", 0)), name="voucher_of_credits"
            ),
        ),
        migrations.AddConstraint(
            model_name="voucher",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entry__isnull", True), ("redeemed_at__isnull", True)),
                    models.Q(("entry__isnull", False), ("redeemed_at__isnull", False)),
                    _connector="OR",
                ),
                name="voucher_redeemed_iff_credited",
            ),
        ),
        migrations.AddConstraint(
            model_name="voucher",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("revoked_at__isnull", True), ("redeemed_at__isnull", True), _connector="OR"
                ),
                name="voucher_revoked_or_redeemed",
            ),
        ),
        migrations.AddConstraint(
            model_name="voucher",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("revoked_at__isnull", True), ("revoked_by__isnull", True)),
                    models.Q(("revoked_at__isnull", False), ("revoked_by__isnull", False)),
                    _connector="OR",
                ),
                name="voucher_revoked_by_somebody",
            ),
        ),
    ]

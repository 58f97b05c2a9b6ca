from django.db import migrations, models

from carprice.db.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("predictions", "0003_next_rank"),
    ]

    operations = [
        AddIndexOnline(
            model_name="prediction",
            index=models.Index(
                fields=["user", "status", "-created_at", "-id"], name="prediction_by_status"
            ),
        ),
        AddIndexOnline(
            model_name="prediction",
            index=models.Index(
                fields=["user", "predictor", "-created_at", "-id"], name="prediction_by_predictor"
            ),
        ),
        AddIndexOnline(
            model_name="prediction",
            index=models.Index(
                fields=["user", "-created_at", "-id"],
                name="prediction_active",
                condition=models.Q(finished_at=None, queued_at__isnull=False),
            ),
        ),
        AddIndexOnline(
            model_name="prediction",
            index=models.Index(
                fields=["user", "-queued_at", "-hold"],
                name="prediction_submitted",
                condition=models.Q(queued_at__isnull=False),
            ),
        ),
    ]

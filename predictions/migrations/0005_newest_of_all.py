from django.db import migrations, models

from carprice.db.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("predictions", "0004_lists_by_index"),
    ]

    operations = [
        AddIndexOnline(
            model_name="prediction",
            index=models.Index(fields=["-created_at", "-id"], name="prediction_newest"),
        ),
    ]

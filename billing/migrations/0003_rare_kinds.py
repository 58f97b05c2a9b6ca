from django.db import migrations, models

from carprice.db.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("billing", "0002_entry_actor_latest"),
    ]

    operations = [
        AddIndexOnline(
            model_name="ledgerentry",
            index=models.Index(
                fields=["account", "kind", "-id"],
                name="entry_rare_kinds",
                condition=models.Q(kind__in=["top_up", "adjustment", "refund"]),
            ),
        ),
    ]

from django.db import migrations

from predictions import ranks


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0002_what_if_entered"),
    ]

    operations = [
        migrations.RunPython(ranks.create, migrations.RunPython.noop),
    ]

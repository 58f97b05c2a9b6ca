from django.db import migrations

from predictions import triggers


class Migration(migrations.Migration):
    dependencies = [("predictions", "0001_initial")]

    operations = [migrations.RunPython(triggers.create, elidable=False)]

"""Bring addresses of international domains, which the admin took, to the form they are sought by."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.functions import Lower

from accounts import normalization


def normalize_addresses(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """An address that another account has in ASCII already stays: which is whose, nobody knows."""
    users = apps.get_model("accounts", "User").objects.using(schema_editor.connection.alias)
    rows = users.values_list("pk", "email").iterator()
    for pk, email in [row for row in rows if not row[1].isascii()]:
        address = normalization.normalize_address(email)
        taken = users.alias(key=Lower("email")).exclude(pk=pk).filter(key=address.lower())
        if not taken.exists():
            users.filter(pk=pk).update(email=address)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="user",
            name="name",
            field=models.CharField(
                blank=True, max_length=150, validators=[normalization.validate_name]
            ),
        ),
        migrations.RunPython(normalize_addresses, migrations.RunPython.noop),
    ]

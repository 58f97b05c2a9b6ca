from datetime import datetime, timedelta

from django.db import migrations, models
from django.utils import timezone


def when_the_newest_access_token_expires() -> datetime:
    """No session that exists by now has a token that is good for longer."""
    return timezone.now() + timedelta(minutes=30)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="tokensession",
            name="refresh_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="tokensession",
            name="expires_at",
            field=models.DateTimeField(default=when_the_newest_access_token_expires),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name="tokensession",
            index=models.Index(fields=["expires_at"], name="token_session_expires_at"),
        ),
    ]

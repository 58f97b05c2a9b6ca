from typing import Any

from django.conf import settings
from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import User
from billing import services
from billing.models import CreditAccount


@receiver(post_save, sender=User)
def open_account(instance: User, *, created: bool, raw: bool, **_: Any) -> None:
    """Every user has a credit account, however the user came to be, and is made welcome."""
    if created and not raw:
        CreditAccount.objects.create(user=instance)
        if settings.WELCOME_CREDITS and not instance.is_staff:
            services.top_up(user_id=instance.pk, amount=settings.WELCOME_CREDITS)

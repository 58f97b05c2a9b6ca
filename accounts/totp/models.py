from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class Authenticator(models.Model):
    """The program of an operator that shows codes (RFC 6238), once they have typed one of them."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="authenticator"
    )
    sealed_secret = models.CharField(max_length=200, editable=False)
    confirmed_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(default=0)  # of the newest code used: no older one is good

    class Meta:
        verbose_name = _("authenticator")

    def __str__(self) -> str:
        return str(self.user)


class RecoveryCode(models.Model):
    """A code on paper for who has lost the program; deleted when it is used."""

    authenticator = models.ForeignKey(
        Authenticator, models.CASCADE, related_name="recovery_codes", db_index=False
    )
    digest = models.CharField("SHA-256 of the code", max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="recovery_code_once", fields=["authenticator", "digest"])
        ]

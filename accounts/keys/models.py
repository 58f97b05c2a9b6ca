import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from accounts.normalization import NAME_LENGTH

PREFIX_LENGTH = 11  # of a key's text; as much of it as its owner and operators are shown


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> Self:
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)

    def dead(self) -> Self:
        return self.filter(Q(expires_at__lte=Now()) | Q(revoked_at__isnull=False))

    def shown_to(self, user: User) -> list["ApiKey"]:
        """Those that a user has not revoked, newest first; expired ones say why they are refused.

        There are few: `services` limits both the live and the dead ones.
        """
        own = self.filter(user=user, revoked_at=None).annotate(
            has_expired=models.Case(
                models.When(expires_at__lte=Now(), then=True),
                default=False,
                output_field=models.BooleanField(),
            )
        )
        return list(own.order_by("-created_at", "-id"))


class ApiKey(models.Model):
    """A credential that a user gives a program: good until it expires or is revoked.

    It outlives a changed password. Programs that run for years must not stand still whenever their
    owner takes a new one, and never knew the old; so the pages about the password and about keys
    say that keys stay, and whoever fears for theirs revokes them there.
    """

    class Access(models.TextChoices):
        READ = "read"
        WRITE = "write"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=NAME_LENGTH)
    access = models.CharField(max_length=5, choices=Access)
    prefix = models.CharField(max_length=PREFIX_LENGTH)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # to the minute: `lookup`
    revoked_at = models.DateTimeField(null=True, blank=True)

    text = ""  # the key itself, known only to whoever has just made it

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                name="api_key_access_known", condition=Q(access__in=["read", "write"])
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @property
    def may_write(self) -> bool:
        return self.access == self.Access.WRITE

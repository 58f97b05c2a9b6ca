from django.db import models
from django.db.models.functions import Now

from accounts.models import User


class AccountDeletion(models.Model):
    """That the owner of an account deleted it; unfinished until everything personal is gone."""

    user = models.OneToOneField(User, models.PROTECT, primary_key=True, related_name="+")
    requested_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["requested_at"],
                name="account_deletion_unfinished",
                condition=models.Q(finished_at=None),
            )
        ]

    def __str__(self) -> str:
        return str(self.user_id)


class RetentionRun(models.Model):
    """The one row that says when workers prune next, and how far predictions are erased.

    Holds get ascending ids, so everything whose hold is not beyond `erased_through` is done with.
    """

    due_at = models.DateTimeField(db_default=Now())
    erased_through = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.due_at)

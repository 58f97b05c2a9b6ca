from django.conf import settings
from django.db import models
from django.db.models.functions import Now

LONGEST_LOCATION = 200


class IdempotencyKey(models.Model):
    """A key that a request has named, with the answer to that request.

    Written in the transaction that does the work, so that there is never one without the other.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, db_index=False, related_name="+"
    )
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status = models.PositiveSmallIntegerField(default=0)
    body = models.TextField(blank=True)
    location = models.CharField(max_length=LONGEST_LOCATION, blank=True)
    subject_id = models.UUIDField(null=True, help_text="The object whose data the body repeats.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["created_at"], name="idempotency_key_age"),
            models.Index(
                fields=["subject_id"],
                name="idempotency_key_subject",
                condition=models.Q(subject_id__isnull=False),
            ),
        ]
        constraints = [models.UniqueConstraint(name="idempotency_key_once", fields=["user", "key"])]

    def __str__(self) -> str:
        return self.key

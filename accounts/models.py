import uuid
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import PermissionsMixin
from django.db import models, transaction
from django.db.models.functions import Lower, Now
from django.utils.crypto import constant_time_compare

from accounts.normalization import (
    NAME_LENGTH,
    normalize_address,
    normalize_password,
    validate_name,
)


class UserManager(BaseUserManager["User"]):
    @transaction.atomic  # a signal's receiver opens the user's credit account
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, **fields, is_staff=True, is_superuser=True)

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        return normalize_address(email or "")

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user with this e-mail address, whatever its case and the form of its domain."""
        return self.alias(key=Lower("email")).get(key=self.normalize_email(username).lower())

    def has_account(self, address: str) -> bool:
        """Whether an address, whatever its case and the form of its domain, is somebody's."""
        key = self.normalize_email(address).lower()
        return self.alias(key=Lower("email")).filter(key=key).exists()


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a script, known by an e-mail address."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField("e-mail address", unique=True)
    name = models.CharField(max_length=NAME_LENGTH, blank=True, validators=[validate_name])
    is_staff = models.BooleanField("operator", default=False, help_text="May use the admin.")
    is_active = models.BooleanField("active", default=True, help_text="May sign in.")
    is_verified = models.BooleanField(
        "address verified",
        default=True,
        db_default=True,
        help_text="Has followed a link that was sent to the address, where that is asked for.",
    )
    date_joined = models.DateTimeField("signed up at", db_default=Now(), editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    # A filter: customers, who have none of the fields that give rights.
    WITHOUT_RIGHTS: ClassVar[dict[str, Any]] = {
        "is_staff": False,
        "is_superuser": False,
        "groups": None,
        "user_permissions": None,
    }

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                name="user_email_unique",
                violation_error_message="This e-mail address is taken.",
            )
        ]

    def __str__(self) -> str:
        return self.email

    def set_password(self, raw_password: str | None) -> None:
        super().set_password(None if raw_password is None else normalize_password(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        """Whether it is the password. A hash of before normalization is replaced if it fits.

        Such hashes are of the password as typed. That is tried with every hash, so that the number
        of those computed for a wrong password depends on nothing but what was typed.
        """
        if raw_password is None:
            return False
        normalized = normalize_password(raw_password)
        if super().check_password(normalized):
            return True
        if normalized == raw_password or not check_password(raw_password, self.password):
            return False
        self.set_password(normalized)
        self._password = None  # it is no new one, of which Django would tell the validators
        self.save(update_fields=["password"])
        return True

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.get_full_name()


def password_digests(user: User) -> list[str]:
    """What a session that began with the user's password of now has kept of it, by any secret."""
    return [user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()]


class TokenSessionQuerySet(models.QuerySet["TokenSession"]):
    def open_of(self, user: User) -> Self:
        """Those whose tokens are good, newest first."""
        return self.filter(
            user=user,
            ended_at=None,
            expires_at__gt=Now(),
            password_digest__in=password_digests(user),
        ).order_by("-created_at", "-id")


class TokenSession(models.Model):
    """One sign-in of a client. Its tokens are good until it ends or the password changes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="token_sessions")
    password_digest = models.CharField(max_length=128)
    refresh_id = models.UUIDField(null=True)  # the id of the one refresh token that is good now
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()  # when its last token expires, by the database's clock
    ended_at = models.DateTimeField(null=True)

    objects = TokenSessionQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="token_session_expires_at")]

    def is_valid(self) -> bool:
        """Whether its tokens are good: still open, user active, password unchanged."""
        return (
            self.ended_at is None
            and self.user.is_active
            and any(
                constant_time_compare(self.password_digest, digest)
                for digest in password_digests(self.user)
            )
        )

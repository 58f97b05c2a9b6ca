"""Two users to try the service with, on a machine of one's own. Their password is random."""

from django.conf import settings

from accounts.models import User
from carprice import env

DEMO_EMAIL = "demo@example.com"
OPERATOR_EMAIL = "operator@example.com"


def demo_password() -> str:
    """The demo users' password, made at the first start and kept with the other secrets."""
    return env.secret("DEMO_PASSWORD", settings.VAR_DIR / "secrets", characters=12)


def make_demo_users() -> None:
    """A customer, and an operator who may use the admin, if they do not exist yet."""
    if not User.objects.filter(email=DEMO_EMAIL).exists():
        User.objects.create_user(DEMO_EMAIL, demo_password(), name="Demo")
    if not User.objects.filter(email=OPERATOR_EMAIL).exists():
        User.objects.create_superuser(OPERATOR_EMAIL, demo_password(), name="Operator")

"""What a request does about a mail: it writes a row. No request waits for an SMTP server."""

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.mail.models import OutgoingMail
from accounts.models import User

Kind = OutgoingMail.Kind


def site_of(request: HttpRequest) -> str:
    """Scheme and host for links in mails: as set, else as the request asked for them."""
    return settings.SITE_URL or f"{request.scheme}://{request.get_host()}"


def put(kind: Kind, recipient: str, *, site: str, user: User | None = None) -> None:
    """Have a mail sent, if the transaction that this is called in commits."""
    OutgoingMail.objects.create(
        kind=kind,
        recipient=recipient,
        user=user,
        site=site,
        language=get_language() or settings.LANGUAGE_CODE,
    )

"""Sending what is due: in a worker, on a thread that has nothing else to do.

A server that hangs so delays other mails and nothing else. A row is leased before its mail is sent
and deleted after: what fails, or is lost with its process, is sent again.
"""

import logging
import smtplib
import threading
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.models import F
from django.db.models.functions import Now

from accounts.mail import texts
from accounts.mail.models import OutgoingMail

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=5)  # longer than a server may take, at EMAIL_TIMEOUT a step
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)

_sending = threading.Lock()


def start_if_due() -> None:
    """Have what is due sent; returns at once, and does nothing while this process sends."""
    if not OutgoingMail.objects.due().exists() or not _sending.acquire(blocking=False):
        return
    threading.Thread(target=_run, name="mail", daemon=True).start()


def _run() -> None:
    try:
        send_due()
    except DatabaseError as error:  # the next sweep tries again
        logger.warning("Mails wait for the database: %s", error)
    finally:
        connection.close()
        _sending.release()


def send_due() -> None:
    """Send until nothing is due or the server is not to be reached."""
    while (mail := _lease()) is not None:
        if not _send(mail):
            return


def _lease() -> OutgoingMail | None:
    """The next mail, which no other process takes until its lease is over."""
    while (mail := OutgoingMail.objects.due().select_related("user").first()) is not None:
        untaken = OutgoingMail.objects.filter(pk=mail.pk, attempts=mail.attempts)
        if untaken.update(due_at=Now() + LEASE, attempts=F("attempts") + 1):
            return mail
    return None


def _send(mail: OutgoingMail) -> bool:
    """Send one mail. Returns whether it makes sense to go on with others."""
    message = texts.write(mail)
    if message is None:
        mail.delete()
        return True
    try:
        message.send()
    except Exception as error:  # whatever a server or a backend comes up with
        if _is_final(error):
            logger.warning("A mail (%s) was refused for good: %s", mail.kind, _reason(error))
            mail.delete()
            return True
        _postpone(mail, error)
        return not isinstance(error, OSError)  # which all of smtplib's are
    mail.delete()
    return True


def _is_final(error: Exception) -> bool:
    """Whether the server will not take this mail at any other time."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500


def _postpone(mail: OutgoingMail, error: Exception) -> None:
    row = OutgoingMail.objects.filter(pk=mail.pk)
    if row.filter(created_at__lt=Now() - OutgoingMail.KEPT_FOR).exists():
        logger.error("A mail (%s) was given up: %s", mail.kind, _reason(error))
        row.delete()
        return
    pause = min(FIRST_PAUSE * 2 ** min(mail.attempts, 10), LONGEST_PAUSE)
    row.update(due_at=Now() + pause)
    logger.warning("A mail (%s) waits %s for: %s", mail.kind, pause, _reason(error))


def _reason(error: Exception) -> str:
    """An error without addresses, which some servers repeat."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the recipient was refused, {[code for code, _ in error.recipients.values()]}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    return (
        f"{type(error).__name__}: {error}" if isinstance(error, OSError) else type(error).__name__
    )

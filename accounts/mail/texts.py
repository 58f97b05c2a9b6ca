"""What the mails say. None repeats what a stranger typed, such as a name: it could be a message."""

from dataclasses import dataclass

from django.core.mail import EmailMessage
from django.urls import reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.mail import links
from accounts.mail.links import Purpose
from accounts.mail.models import OutgoingMail
from accounts.models import User

Kind = OutgoingMail.Kind
PURPOSES = {
    Kind.RESET: Purpose.RESET,
    Kind.VERIFY: Purpose.VERIFY,
    Kind.CONFIRM_ADDRESS: Purpose.CHANGE,
}


@dataclass(frozen=True)
class Text:
    subject: str | Promise
    body: str | Promise


TEXTS = {
    Kind.RESET: Text(
        _("Choose a new password"),
        _(
            "Somebody asked for a new password for your account at %(site)s.\n\n"
            "To choose one, open this link within an hour. It works once.\n\n"
            "%(link)s\n\n"
            "If it was not you, do nothing: your password stays as it is."
        ),
    ),
    Kind.VERIFY: Text(
        _("Confirm your e-mail address"),
        _(
            "An account was made with this address at %(site)s.\n\n"
            "If it is yours, open this link within an hour. It works once.\n\n"
            "%(link)s\n\n"
            "If it is not, do nothing: the account can buy nothing."
        ),
    ),
    Kind.CONFIRM_ADDRESS: Text(
        _("Confirm your new e-mail address"),
        _(
            "Somebody wants this to be the address of their account at %(site)s.\n\n"
            "If it was you, open this link within an hour. It works once.\n\n"
            "%(link)s\n\n"
            "If it was not, do nothing: the account keeps its address."
        ),
    ),
    Kind.ADDRESS_ASKED: Text(
        _("Another e-mail address was asked for"),
        _(
            "Somebody who knows your password asked for another e-mail address for your account at "
            "%(site)s. It changes when the link is opened that was sent to the new address.\n\n"
            "If it was not you, choose a new password now: that ends the link.\n\n"
            "%(site)s%(forgot)s"
        ),
    ),
    Kind.ADDRESS_CHANGED: Text(
        _("Your e-mail address was changed"),
        _(
            "Your account at %(site)s has another e-mail address now, and every other session has "
            "ended. This is the last mail to this address.\n\n"
            "If it was not you, tell those who run the site at once."
        ),
    ),
    Kind.PASSWORD_CHANGED: Text(
        _("Your password was changed"),
        _(
            "The password of your account at %(site)s was changed, and every other session has "
            "ended.\n\n"
            "If it was not you, choose a new one at once:\n\n"
            "%(site)s%(forgot)s"
        ),
    ),
}


def write(mail: OutgoingMail) -> EmailMessage | None:
    """The mail in its language; None if there is no reason to send it any more."""
    kind = Kind(mail.kind)
    user = _account_of(mail)
    if user is None or not _is_wanted(kind, mail.recipient, user):
        return None
    # What was typed finds the account; what is stored of it is where the mail goes.
    recipient = user.email if kind == Kind.RESET else mail.recipient
    link = links.path(PURPOSES[kind], user, recipient) if kind in PURPOSES else ""
    values = {"site": mail.site, "link": mail.site + link, "forgot": reverse("password-forgot")}
    with translation.override(mail.language):
        text = TEXTS[kind]
        return EmailMessage(str(text.subject), str(text.body) % values + "\n", to=[recipient])


def _account_of(mail: OutgoingMail) -> User | None:
    if mail.user is not None:
        return mail.user if mail.user.is_active else None
    try:
        user = User.objects.get_by_natural_key(mail.recipient)
    except User.DoesNotExist:
        return None
    return user if user.is_active and user.has_usable_password() else None


def _is_wanted(kind: Kind, recipient: str, user: User) -> bool:
    if kind == Kind.VERIFY:
        return not user.is_verified and user.email == recipient
    if kind == Kind.CONFIRM_ADDRESS:
        return not User.objects.has_account(recipient)
    return True

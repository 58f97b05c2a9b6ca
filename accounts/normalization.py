"""The form in which addresses and passwords are kept and compared, and what a name may hold."""

import unicodedata
from typing import Any

import idna
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

ADDRESS_LENGTH = 254
PASSWORD_LENGTH = 128
NAME_LENGTH = 150

# --- Addresses -----------------------------------------------------------------------------------

# White space, and what has no width: some programs put it around an address that is copied.
_AROUND_AN_ADDRESS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + (
    "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)


def normalize_address(text: str) -> str:
    """Trimmed, and the domain in small ASCII letters (IDNA 2008, mapped as browsers do: UTS #46).

    What is too long for an address, or has no such domain, is only trimmed: a validator refuses it.
    """
    address = text.strip(_AROUND_AN_ADDRESS)
    local, at, domain = address.rpartition("@")
    if not at or len(address) > ADDRESS_LENGTH:
        return address
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except UnicodeError:
        return address
    return f"{local}@{ascii_domain.lower()}"


def validate_address(address: str) -> None:
    """Raises ValidationError if a normalized address is not in ASCII.

    Others can look alike, and databases disagree on which of them are equal.
    """
    local, _, domain = address.rpartition("@")
    if not local.isascii():
        raise ValidationError(gettext("Enter an e-mail address that is in ASCII before the @."))
    if not domain.isascii():
        raise ValidationError(
            gettext("There can be no domain “%(domain)s”: enter a valid e-mail address.")
            % {"domain": domain}
        )


# --- Passwords -----------------------------------------------------------------------------------


def normalize_password(text: str) -> str:
    """In NFKC, so that it is the same on every keyboard (RFC 8265 asks for no less).

    Up to four characters become one. What is too long even so stays as it is: it is refused, and
    that should not take long.
    """
    too_long = len(text) > 4 * PASSWORD_LENGTH
    return text if too_long else unicodedata.normalize("NFKC", text)


def validate_password_length(text: str) -> None:
    """For a password that is to be checked: hashes of before are of what was typed."""
    if min(len(text), len(normalize_password(text))) > PASSWORD_LENGTH:
        raise ValidationError(
            gettext("A password has at most %(most)d characters.") % {"most": PASSWORD_LENGTH}
        )


class NormalizedPasswordValidator:
    """Has the other validators look at what is hashed, wherever a password is set."""

    def validate(self, password: str, user: Any = None) -> None:
        normalized = normalize_password(password)
        if len(normalized) > PASSWORD_LENGTH:
            raise ValidationError(
                gettext("A password has at most %(most)d characters.") % {"most": PASSWORD_LENGTH}
            )
        if normalized != password:
            validate_password(normalized, user)

    def get_help_text(self) -> str:
        return f"Your password must contain at most {PASSWORD_LENGTH} characters."


# --- Names ---------------------------------------------------------------------------------------

# They change the direction of what follows, and so what the line beside a name seems to say.
_DIRECTION = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_CONTROL = {"Cc", "Zl", "Zp"}  # Unicode's categories: controls, separators of lines, of paragraphs
_FILLERS = set("\u115f\u1160\u2800\u3164\uffa0")  # letters and signs that show nothing


def validate_name(name: str) -> None:
    """Raises ValidationError for a name that shows nothing, or that changes what is around it."""
    for char in name:
        if char in _DIRECTION or unicodedata.category(char) in _CONTROL:
            raise ValidationError(
                gettext(
                    "Leave out U+%(code)s: a name has no control characters, "
                    "and none that change the direction of text."
                )
                % {"code": f"{ord(char):04X}"}
            )
    if not any(map(_is_visible, name)):
        raise ValidationError(gettext("A name has a visible character."))


def _is_visible(char: str) -> bool:
    """Whether it is a letter, digit or sign of its own. Marks only change one."""
    return unicodedata.category(char)[0] in "LNPS" and char not in _FILLERS

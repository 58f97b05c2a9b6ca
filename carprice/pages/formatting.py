"""How pages write quantities, credits, percentages and times: `{% load formatting %}`.

What belongs together on one line is wrapped so that no line break divides it.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import floatformat
from django.templatetags.static import static
from django.utils.dateformat import format as format_date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext, pgettext

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
MINUS_SIGN = "\N{MINUS SIGN}"

register = template.Library()


@dataclass(frozen=True)
class Scale:
    """The unit and the decimals of a domain's values; a view hands it over with the values."""

    unit: str
    decimals: int


@register.simple_tag
def quantity(
    value: float, scale: Scale, *, signed: bool = False, with_unit: bool = True
) -> SafeString:
    """A value on its scale: "13,495 USD", or signed "+3.2 years"."""
    sign = "+" if signed and value > 0 else ""
    unit = f" {gettext(scale.unit)}" if with_unit and scale.unit else ""
    return _unbroken(f"{sign}{number(value, scale.decimals)}{unit}")


@register.simple_tag
def icon(name: str) -> SafeString:
    """A picture of `static/icons.svg` beside words that say the same."""
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>', static("icons.svg"), name
    )


@register.simple_tag
def timestamp(at: datetime, *, seconds: bool = False) -> SafeString:
    """A moment in the time zone of the settings: "5 Mar 2024, 14:07"."""
    local = localtime(at)
    return format_html(
        '<time datetime="{}">{} {}</time>',
        local.isoformat(),
        _unbroken(format_date(local, pgettext("date format", "j M Y,"))),
        _unbroken(format_date(local, "H:i:s" if seconds else "H:i")),
    )


@register.filter
def credits(amount: int) -> SafeString:  # noqa: A001  # the word that templates read
    """A price: "1,234 credits"."""
    return _unbroken(credits_text(amount))


@register.filter
def signed(amount: int) -> str:
    """A change of a balance: "+1,234" or "−1,234"."""
    return f"{'+' if amount > 0 else MINUS_SIGN}{intcomma(abs(amount))}"


@register.filter
def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal: "12.3 %"."""
    return f"{floatformat(100 * fraction, 1)}{NO_BREAK_SPACE}%"


def credits_text(amount: int) -> str:
    """The same as plain text, for a sentence."""
    words = ngettext("%(amount)s credit", "%(amount)s credits", amount)
    return words % {"amount": intcomma(amount)}


def short_number(value: float, digits: int = 4) -> str:
    """A figure with no more digits than mean something: "2,414", "98.77", "0.4621"."""
    if isinstance(value, int) or abs(value) >= 10**digits:
        return number(value, 0)
    if not value:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    _, _, shown = f"{value:.{decimals}f}".rstrip("0").partition(".")
    return number(value, len(shown))


def translated(text: str | None) -> str:
    """A text of a domain or of the catalogue in the language of the page."""
    return gettext(text) if text else ""


@register.filter
def tr(text: str | None) -> str:
    """The same in a template."""
    return translated(text)


@register.filter
def minus(amount: int, other: int) -> int:
    return amount - other


def number(value: float, decimals: int) -> str:
    """A rounded value: "13,495"; halves are rounded away from zero, and zero has no sign."""
    return str(floatformat(value, f"{decimals}g")).replace("-", MINUS_SIGN)


def _unbroken(text: str) -> SafeString:
    return format_html('<span class="nowrap">{}</span>', text)

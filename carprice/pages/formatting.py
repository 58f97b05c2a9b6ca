"""How pages write quantities, credits, percentages and times: `{% load formatting %}`.

What belongs together on one line is wrapped so that no line break divides it.
"""

from dataclasses import dataclass
from datetime import datetime

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import floatformat, pluralize
from django.utils.dateformat import format as format_date
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

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
    unit = f" {scale.unit}" if with_unit and scale.unit else ""
    return _unbroken(f"{sign}{number(value, scale.decimals)}{unit}")


@register.simple_tag
def timestamp(at: datetime, *, seconds: bool = False) -> SafeString:
    """A moment in the time zone of the settings: "5 Mar 2024, 14:07"."""
    local = localtime(at)
    return format_html(
        '<time datetime="{}">{} {}</time>',
        local.isoformat(),
        _unbroken(format_date(local, "j M Y,")),
        _unbroken(format_date(local, "H:i:s" if seconds else "H:i")),
    )


@register.filter
def credits(amount: int) -> SafeString:  # noqa: A001  # the word that templates read
    """A price: "1,234 credits"."""
    return _unbroken(f"{amount:,} credit{pluralize(amount)}")


@register.filter
def signed(amount: int) -> str:
    """A change of a balance: "+1,234" or "−1,234"."""
    return f"{'+' if amount > 0 else MINUS_SIGN}{abs(amount):,}"


@register.filter
def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal: "12.3 %"."""
    return f"{100 * fraction:.1f}{NO_BREAK_SPACE}%"


def number(value: float, decimals: int) -> str:
    """A rounded value: "13,495"; halves are rounded away from zero, and zero has no sign."""
    return str(intcomma(floatformat(value, decimals)))


def _unbroken(text: str) -> SafeString:
    return format_html('<span class="nowrap">{}</span>', text)

"""How pages write figures: what tags and filters make of them, in a template."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.template import Context, Template

from carprice.pages.formatting import Scale

USD = Scale("USD", 0)
YEARS = Scale("years", 1)
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def render(source: str, **context: Any) -> str:
    return Template("{% load formatting %}" + source).render(Context(context))


def unbroken(text: str) -> str:
    return f'<span class="nowrap">{text}</span>'


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (13495.2, USD, "13,495 USD"),
        (13495.5, USD, "13,496 USD"),
        (1_234_567, USD, "1,234,567 USD"),
        (999.4, USD, "999 USD"),
        (0, USD, "0 USD"),
        (-0.4, USD, "0 USD"),
        (-1234.5, USD, f"{MINUS}1,235 USD"),
        (41.25, YEARS, "41.3 years"),
        (41, YEARS, "41.0 years"),
        (-3.04, YEARS, f"{MINUS}3.0 years"),
        (7.125, Scale("", 2), "7.13"),
    ],
)
def test_a_quantity_has_its_scales_decimals_and_unit(value: float, scale: Scale, text: str) -> None:
    assert render("{% quantity value scale %}", value=value, scale=scale) == unbroken(text)


@pytest.mark.parametrize(
    ("value", "text"), [(3.21, "+3.2 years"), (-3.21, f"{MINUS}3.2 years"), (0, "0.0 years")]
)
def test_a_signed_quantity_shows_that_it_is_more(value: float, text: str) -> None:
    page = render("{% quantity value scale signed=True %}", value=value, scale=YEARS)

    assert page == unbroken(text)


def test_a_quantity_is_written_without_its_unit_where_another_names_it() -> None:
    page = render("{% quantity value scale with_unit=False %}", value=5400.4, scale=USD)

    assert page == unbroken("5,400")


def test_a_unit_is_text_and_never_markup() -> None:
    page = render("{% quantity value scale %}", value=1, scale=Scale("<b>m</b>", 0))

    assert page == unbroken("1 &lt;b&gt;m&lt;/b&gt;")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 credits"), (1, "1 credit"), (40, "40 credits"), (1_234_567, "1,234,567 credits")],
)
def test_credits_are_counted_with_their_word(amount: int, text: str) -> None:
    assert render("{{ amount|credits }}", amount=amount) == unbroken(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1, "+1"), (1000, "+1,000"), (-1, f"{MINUS}1"), (-1_234_567, f"{MINUS}1,234,567")],
)
def test_a_change_of_a_balance_always_has_a_sign(amount: int, text: str) -> None:
    assert render("{{ amount|signed }}", amount=amount) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.1234, "12.3"),
        (0.0951607, "9.5"),
        (0.004, "0.4"),
        (0, "0.0"),
        (1, "100.0"),
        (1.5, "150.0"),
    ],
)
def test_a_fraction_is_a_percentage_with_one_decimal(fraction: float, text: str) -> None:
    assert render("{{ fraction|percent }}", fraction=fraction) == f"{text}{NO_BREAK_SPACE}%"


AT = datetime(2024, 3, 5, 14, 7, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tag", "time"),
    [("{% timestamp at %}", "14:07"), ("{% timestamp at seconds=True %}", "14:07:09")],
)
def test_a_time_may_break_between_its_date_and_its_hour(tag: str, time: str) -> None:
    page = render(tag, at=AT)

    written = f"{unbroken('5 Mar 2024,')} {unbroken(time)}"
    assert page == f'<time datetime="2024-03-05T14:07:09+00:00">{written}</time>'


def test_a_time_of_another_zone_is_told_in_that_of_the_service() -> None:
    east = AT.astimezone(timezone(timedelta(hours=11)))

    assert render("{% timestamp at %}", at=east) == render("{% timestamp at %}", at=AT)

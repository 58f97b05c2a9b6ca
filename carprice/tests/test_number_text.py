"""Numbers as people write them: read if there is one way to read them, else refused by kind."""

import math
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carprice.pages.number_text import LONGEST_NUMBER, read_number, read_whole_number

NO_BREAK, NARROW, THIN, FIGURE = "\u00a0", "\u202f", "\u2009", "\u2007"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5.4", 5.4),
        ("5,4", 5.4),
        (" 5.4 ", 5.4),
        ("\t5.4\n", 5.4),
        ("1 234", 1234),
        (f"1{NO_BREAK}234", 1234),
        (f"1{NARROW}234,5", 1234.5),
        (f"12{THIN}345{THIN}678", 12345678),
        (f"1{FIGURE}234", 1234),
        ("1 234.5", 1234.5),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1'234", 1234),
        ("1’234,50", 1234.5),
        ("1.234.567", 1234567),
        ("1,234,567", 1234567),
        ("1,234,567.8", 1234567.8),
        ("1.234.567,8", 1234567.8),
        ("1.234", 1.234),
        ("0,234", 0.234),
        ("1234,567", 1234.567),
        ("1,23", 1.23),
        (",5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7),
        ("１２３", 123),
        ("５．４", 5.4),
        ("１，２３４．５", 1234.5),
        ("-2", -2),
        ("−2", -2),
        ("–2", -2),
        ("+2", 2),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("\u200b12\ufeff", 12),
        ("0", 0),
    ],
)
def test_it_reads_what_can_be_read_in_one_way(text: str, number: float) -> None:
    assert read_number(text) == number
    assert type(read_number(text)) is type(number)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,234", "This can be read in two ways: write 1234 or 1.234."),
        ("-12,345", "This can be read in two ways: write -12345 or -12.345."),
        ("１，２３４", "This can be read in two ways: write 1234 or 1.234."),
        ("<5", "This is a limit or a rough figure"),
        (">90", "This is a limit or a rough figure"),
        ("≥ 3", "This is a limit or a rough figure"),
        ("~5", "This is a limit or a rough figure"),
        ("N/A", "Leave it empty if it is not known."),
        ("n.a.", "Leave it empty if it is not known."),
        ("n.d.", "Leave it empty if it is not known."),
        ("n.n.", "Leave it empty if it is not known."),
        ("n.b.", "Leave it empty if it is not known."),
        ("k.A.", "Leave it empty if it is not known."),
        ("k. A.", "Leave it empty if it is not known."),
        ("н/д", "Leave it empty if it is not known."),
        ("neg", "This is no number: leave it empty if none was measured."),
        ("negativ", "This is no number: leave it empty if none was measured."),
        ("ca. 5", "This is a limit or a rough figure"),
        ("about 5", "This is a limit or a rough figure"),
        ("5·4", "Write the decimals after a dot or a comma, without blanks."),
        ("5 .4", "Write the decimals after a dot or a comma, without blanks."),
        ("5. 4", "Write the decimals after a dot or a comma, without blanks."),
        ("4.8 x 10^12", "Write the power with an e, such as 4.8e12, or choose a unit"),
        ("4.8×10^12", "Write the power with an e, such as 4.8e12, or choose a unit"),
        ("9,5:1", "Write the ratio as one number: 9,5."),
        ("9.5 : 1", "Write the ratio as one number: 9.5."),
        ("1.050,-", "Write it in digits alone: 1050."),
        ("1.050,--", "Write it in digits alone: 1050."),
        ("5.4 H", "Write the number alone, without the mark beside it."),
        ("5.4 L", "Write the number alone, without the mark beside it."),
        ("5.4*", "Write the number alone, without the mark beside it."),
        ("5.4↑", "Write the number alone, without the mark beside it."),
        ("+5.4 (H)", "Write the number alone, without the mark beside it."),
        ("-", "Leave it empty if it is not known."),
        ("—", "Leave it empty if it is not known."),
        ("not measured", "Leave it empty if it is not known."),
        ("5.4 %", "Write the number alone, without “%”."),
        ("5 h", "Write the number alone, without “h”."),
        ("121hp", "Write the number alone, without “hp”."),
        ("$ 13,495.00", "Write the number alone, without “$”."),
        ("5 " + "x" * 90, "Write the number alone, without “xxxxxxxxxxxxxxxxxxxx…”."),
        ("5-4", "These are several numbers: write one."),
        ("5–4", "These are several numbers: write one."),
        ("5 to 4", "These are several numbers: write one."),
        ("120/80", "These are several numbers: write one."),
        ("12 34", "These are several numbers: write one."),
        ("1,23,456", "The dots, commas or blanks are not where a number has them"),
        ("1.2.3", "The dots, commas or blanks are not where a number has them"),
        ("inf", "Write a finite number."),
        ("-∞", "Write a finite number."),
        ("NaN", "Write a finite number."),
        ("1e999", "This number is too large to be read."),
        ("1_0", "Write the number without “_”."),
        ("10³", "Write the number in plain digits"),
        ("5½", "Write the number in plain digits"),
        ("①", "Write the number in plain digits"),
        ("٥", "Write the number in the digits 0 to 9."),
        ("many", "This is no number."),
        ("", "Write a number."),
        ("9" * (LONGEST_NUMBER + 1), "Write a number of at most 100 characters."),
    ],
)
def test_what_it_does_not_read_gets_a_sentence_of_its_own(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
        read_number(text)


@given(st.text(max_size=2 * LONGEST_NUMBER) | st.text("0123456789.,' +-e/<%_", max_size=12))
def test_any_text_is_a_finite_number_or_a_sentence(text: str) -> None:
    try:
        answer: float | str = read_number(text)
    except ValueError as refusal:
        answer = str(refusal)

    if isinstance(answer, str):
        assert re.fullmatch(r"[A-Z].{5,200}\.", answer, re.DOTALL)
    else:
        assert math.isfinite(answer)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_it_reads_what_python_and_its_tables_write(number: float) -> None:
    assert read_number(repr(number)) == number


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_stay_exact(number: int) -> None:
    assert read_number(str(number)) == number


@given(
    st.integers(1_000_000, 10**15), st.integers(0, 99), st.sampled_from([" ", ",", ".", "'", THIN])
)
def test_thousands_may_be_set_apart(whole: int, hundredths: int, separator: str) -> None:
    decimal = "." if separator == "," else ","
    text = f"{whole:,}".replace(",", separator) + f"{decimal}{hundredths:02}"

    assert read_number(text) == float(f"{whole}.{hundredths:02}")


@given(st.text("0123456789.,'e+- ", max_size=20))
def test_it_never_reads_a_plain_number_otherwise_than_python(text: str) -> None:
    try:
        number = float(text)
    except ValueError:
        return

    assert math.isinf(number) or read_number(text) == number


@pytest.mark.parametrize(
    "part", ["1 ", "H ", "1 .", "1:", "1.", "1,", "-", "1-", "<", "1e", "ﷺ", " ", "n/", "1'1"]
)
def test_no_text_takes_long(part: str) -> None:
    text = (part * LONGEST_NUMBER)[:LONGEST_NUMBER]

    started = time.process_time()
    for _ in range(10):
        with pytest.raises(ValueError, match=r"\.$"):
            read_number(text)

    assert time.process_time() - started < 0.2


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1 000", 1000),
        (f"1{NO_BREAK}000", 1000),
        ("1'000", 1000),
        ("1,000,000", 1_000_000),
        ("1.000.000", 1_000_000),
        ("１２", 12),
        ("−5", -5),
        ("+5", 5),
        ("5.0", 5),
        ("1 000,00", 1000),
        ("007", 7),
    ],
)
def test_a_whole_number_is_read_as_people_write_it(text: str, number: int) -> None:
    assert read_whole_number(text) == number


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1,000", "Write a whole number without dots and commas: 1000 if you mean that."),
        ("1.000", "Write a whole number without dots and commas: 1000 if you mean that."),
        ("−2,500", "Write a whole number without dots and commas: -2500 if you mean that."),
        ("1.5", "Write a whole number."),
        ("1e3", "Write a whole number."),
        ("5 credits", "Write the number alone, without “credits”."),
        ("1_0", "Write the number without “_”."),
        ("9" * 5_000, "Write a number of at most 100 characters."),
    ],
)
def test_what_is_no_whole_number_is_answered_with_how_to_write_it(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_whole_number(text)

"""Reads a number as people write it, if it can be read in one way only."""

import re
import unicodedata

from django.utils.formats import get_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

LONGEST_NUMBER = 100  # characters
LONGEST_SHOWN = 20  # of what stands beside a number

_MINUS_SIGNS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc"), "'")

# What a number is made of. A group has a first digit other than 0, and three digits in each of the
# others; "0,234" is thus no group.
_SIGN, _EXPONENT = r"(?P<sign>[+-]?)", r"(?P<exponent>(?:e[+-]?[0-9]+)?)"
_PLAIN = r"(?P<whole>[0-9]*)(?:[.,](?P<fraction>[0-9]*))?"


def _grouped(separator: str, decimal: str, groups: str = "+") -> str:
    """A pattern of thousands apart by a separator, and perhaps decimals after another."""
    whole = rf"(?P<whole>[1-9][0-9]{{0,2}}(?:{separator}[0-9]{{3}}){groups})"
    return rf"{whole}(?:{decimal}(?P<fraction>[0-9]+))?"


_FORMS = [
    re.compile(f"{_SIGN}{body}{_EXPONENT}", re.IGNORECASE)
    for body in (
        _PLAIN,
        _grouped(" ", "[.,]"),
        _grouped("'", "[.,]"),
        _grouped(",", r"\.", "{2,}"),
        _grouped(r"\.", ",", "{2,}"),
        r"(?P<whole>[1-9][0-9]{0,2},[0-9]{3})\.(?P<fraction>[0-9]+)",
        r"(?P<whole>[1-9][0-9]{0,2}\.[0-9]{3}),(?P<fraction>[0-9]+)",
    )
]
_AMBIGUOUS = re.compile(rf"{_SIGN}([1-9][0-9]{{0,2}}),([0-9]{{3}}){_EXPONENT}", re.IGNORECASE)
_PERHAPS_THOUSANDS = re.compile(rf"{_SIGN}([1-9][0-9]{{0,2}})[.,]([0-9]{{3}})")
_NOT_KNOWN = re.compile(
    r"n\.?\s*/?\s*[abdkn]\.?|k\.\s*a\.|н\s?/\s?д|[-—]+|\?+|\.+|null|none|unknown|missing|(?:not|un)\s?(?:known|measured|done)",
    re.IGNORECASE,
)
_NO_QUANTITY = re.compile(r"[+-]?(?:nan|inf|infinity|∞)", re.IGNORECASE)
_NUMBER = r"[+-]?[0-9]+(?:[., '][0-9]+)*"
_SEVERAL = re.compile(rf"{_NUMBER}\s*(?:-|/|\.\.+|…|\bto\b|;|\s|:|x|\*)\s*{_NUMBER}", re.IGNORECASE)
_WITH_UNIT = re.compile(
    rf"(?P<before>[^0-9+\-.,]*)(?P<number>{_NUMBER}(?:e[+-]?[0-9]+)?)(?P<after>.*)", re.IGNORECASE
)
_LIMIT = re.compile(r"[<>≤≥~≈±]|(?:ca|approx|about|around|circa|etwa)\b", re.IGNORECASE)
_NEGATIVE = re.compile(r"neg(?:ativ|ative)?\.?|pos(?:itiv|itive)?\.?|traces?", re.IGNORECASE)
# What a laboratory prints beside a value that is out of its range.
_MARK = r"(?:[HL*!↑↓+]{1,2}|\((?:[HL]|high|low)\)|high|low)"
_MARKED = re.compile(rf"(?:{_MARK}\s*)?{_NUMBER}\s*{_MARK}")
_POWER = re.compile(rf"({_NUMBER})\s*[x×*·]\s*10\s*\^?\s*([+-]?[0-9]+)", re.IGNORECASE)
_RATIO = re.compile(rf"({_NUMBER})\s*:\s*1")
_DOTS_AMISS = re.compile(r"[0-9]+(?:\s*·\s*|\s+[.,]\s*|[.,]\s+)[0-9]+")
_PRICE = re.compile(r"(?P<number>[0-9]+(?:[.,' ][0-9]{3})*)[.,][-–—]+")
_SENTENCES = {
    _NOT_KNOWN: gettext_noop("Leave it empty if it is not known."),
    _NO_QUANTITY: gettext_noop("Write a finite number."),
    _NEGATIVE: gettext_noop("This is no number: leave it empty if none was measured."),
    _MARKED: gettext_noop("Write the number alone, without the mark beside it."),
    _DOTS_AMISS: gettext_noop("Write the decimals after a dot or a comma, without blanks."),
}


def read_number(text: str) -> int | float:
    """The number that a text says; a whole one if it has neither decimals nor an exponent.

    Raises ValueError with a sentence that says how to write it.
    """
    if len(text) > LONGEST_NUMBER:
        sentence = _("Write a number of at most %(most)d characters.")
        raise ValueError(sentence % {"most": LONGEST_NUMBER})
    # Folding would make 103 of 10³, and 1 of ①.
    if any(sign.isnumeric() and not sign.isdecimal() for sign in text):
        raise ValueError(_("Write the number in plain digits, without ², ½ and the like."))
    plain = _fold(text)
    # Whose language has a decimal comma means one.
    if get_format("DECIMAL_SEPARATOR") != "," and (match := _AMBIGUOUS.fullmatch(plain)):
        raise ValueError(_question(*match.groups()))
    for form in _FORMS:
        match = form.fullmatch(plain)
        if match and (match["whole"] or match["fraction"]):
            return _value(match)
    raise ValueError(_refusal(plain))


def read_whole_number(text: str) -> int:
    """The whole number that a text says. Raises ValueError like read_number.

    Who writes 1.000 may mean a thousand, and gets a question about it too.
    """
    folded = _fold(text[: LONGEST_NUMBER + 1])
    if match := _PERHAPS_THOUSANDS.fullmatch(folded):
        meant = "".join(match.groups())
        sentence = _("Write a whole number without dots and commas: %(number)s if you mean that.")
        raise ValueError(sentence % {"number": meant})
    value = read_number(text)
    if value != int(value) or "e" in folded.lower():
        raise ValueError(_("Write a whole number."))
    return int(value)


def _fold(text: str) -> str:
    """Without differences of script that nobody means: wide digits, blanks, signs."""
    folded = unicodedata.normalize("NFKC", text).translate(_MINUS_SIGNS | _APOSTROPHES)
    visible = "".join(sign for sign in folded if unicodedata.category(sign) != "Cf")
    return re.sub(r"\s", " ", visible).strip()


def _value(match: re.Match[str]) -> int | float:
    whole = re.sub("[^0-9]", "", match["whole"]) or "0"
    fraction, exponent = match["fraction"], match["exponent"]
    if fraction is None and not exponent:
        return int(match["sign"] + whole)
    value = float(f"{match['sign']}{whole}.{fraction or '0'}{exponent}")
    if value in (float("inf"), float("-inf")):
        raise ValueError(_("This number is too large to be read."))
    return value


def _question(sign: str, whole: str, rest: str, exponent: str) -> str:
    """About a comma that may set thousands apart, or decimals."""
    numbers = [f"{sign}{whole}{comma}{rest}{exponent}" for comma in ("", ".")]
    sentence = _("This can be read in two ways: write %(one)s or %(other)s.")
    return sentence % {"one": numbers[0], "other": numbers[1]}


def _advice(text: str) -> str:
    """About what has a meaning, but not as one number; else empty."""
    for form, sentence in _SENTENCES.items():
        if form.fullmatch(text):
            return _(sentence)
    if match := _POWER.fullmatch(text):
        sentence = _(
            "Write the power with an e, such as %(number)s, or choose a unit that has it and write "
            "the number alone."
        )
        return sentence % {"number": f"{match[1]}e{match[2]}"}
    if match := _RATIO.fullmatch(text):
        return _("Write the ratio as one number: %(number)s.") % {"number": match[1]}
    if match := _PRICE.fullmatch(text):
        digits = re.sub("[^0-9]", "", match["number"])
        return _("Write it in digits alone: %(number)s.") % {"number": digits}
    return ""


def _refusal(text: str) -> str:
    """How to write what cannot be read."""
    if not text:
        return _("Write a number.")
    if sentence := _advice(text):
        return sentence
    if _LIMIT.match(text):
        return _("This is a limit or a rough figure: write one number, or leave it empty.")
    if "_" in text:
        return _("Write the number without “_”.")
    if _SEVERAL.fullmatch(text):
        return _("These are several numbers: write one.")
    if any(sign.isdecimal() and not sign.isascii() for sign in text):
        return _("Write the number in the digits 0 to 9.")
    match = _WITH_UNIT.fullmatch(text)
    if match and (beside := f"{match['before'].strip()} {match['after'].strip()}".strip()):
        shown = beside if len(beside) <= LONGEST_SHOWN else f"{beside[:LONGEST_SHOWN]}…"
        return _("Write the number alone, without “%(text)s”.") % {"text": shown}
    if match:
        return _("The dots, commas or blanks are not where a number has them; write it without.")
    return _("This is no number.")

"""What people type beside a number: its unit, or the number of another field.

A form takes it apart before anything is read, and shows each part in its own field again.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from carprice.pages.formatting import translated
from carprice.pages.number_text import LONGEST_NUMBER, read_number
from mlmodels.domains.base import Alias, Domain
from mlmodels.folding import fold
from mlmodels.signature import Feature, Signature

_ASKED_ABOUT = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")  # decimals or thousands


@dataclass
class Parts:
    """What was taken apart: new texts and units, and sentences, by the names of features."""

    texts: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)


def take_apart(
    domain: Domain, signature: Signature, texts: Mapping[str, str], units: Mapping[str, str]
) -> Parts:
    """The parts of texts that are no number, but a number and its unit, or several in one.

    `texts` and `units` are what the features' fields have.
    """
    parts = Parts()
    features = {each.name: each for each in signature.features if each.type != "category"}
    for name, feature in features.items():
        if pair := number_and_unit(feature, texts.get(name, "")):
            parts.texts[name], parts.units[name] = pair
    for alias in domain.aliases:
        if len(alias.features) > 1 and features.keys() >= set(alias.features):
            _take_alias_apart(alias, features, texts, units, parts)
    return parts


def number_and_unit(feature: Feature, text: str) -> tuple[str, str] | None:
    """The number of a text such as "75 kW", and the unit's own name; None if it is no such text."""
    if not feature.unit or not text.strip() or len(text) > LONGEST_NUMBER or _is_number(text):
        return None
    pairs = {pair for end in range(1, len(text)) if (pair := _split(feature, text, end))}
    return pairs.pop() if len(pairs) == 1 else None


def _split(feature: Feature, text: str, end: int) -> tuple[str, str] | None:
    number, unit = text[:end].strip(), text[end:].strip()
    if not number or not unit or not _may_begin_a_unit(unit[0], after=text[end - 1]):
        return None
    name = _unit_named(feature, unit)
    is_number = name and (_is_number(number) or _ASKED_ABOUT.fullmatch(number))
    return (number, name) if name and is_number else None


def _may_begin_a_unit(sign: str, *, after: str) -> bool:
    """A blank sets "1000/µL" apart from its number; with a dash it would be a range."""
    if sign.isdecimal():
        return after.isspace()
    return sign not in "^\N{MINUS SIGN}" and unicodedata.category(sign) != "Pd"


def _unit_named(feature: Feature, name: str) -> str:
    """The own name of the feature's unit; empty if it has none that is called so."""
    folded = fold(name)
    if not folded or folded.isdecimal():  # "1" is a name of fractions
        return ""
    named = feature.with_own_names({"value": name, "unit": name})
    if not isinstance(named, dict):
        return feature.unit or ""
    return str(named["unit"]) if named["unit"] in feature.units else ""


def _is_number(text: str) -> bool:
    try:
        read_number(text)
    except ValueError:
        return False
    return True


def _take_alias_apart(
    alias: Alias,
    features: Mapping[str, Feature],
    texts: Mapping[str, str],
    units: Mapping[str, str],
    parts: Parts,
) -> None:
    """Such as "120/80" in the field of the upper blood pressure, if the lower one is empty."""
    first, *others = alias.features
    text = texts.get(first, "")
    if not text.strip() or _is_number(text):
        return
    try:
        values = [str(value) for value in alias.convert(text)]
    except ValueError:
        return
    filled = [name for name in others if texts.get(name, "").strip()]
    if filled:
        labels = _(" and ").join(f"“{translated(features[name].label)}”" for name in filled)
        sentence = _("Write its own value alone, since %(labels)s is filled in.")
        parts.sentences[first] = sentence % {"labels": labels}
        return
    names_its_unit = any(sign.isalpha() for sign in text)
    unit = "" if names_its_unit else units.get(first, "")
    for name, value in zip(alias.features, values, strict=True):
        parts.texts[name] = value
        parts.units[name] = unit or features[name].unit or ""

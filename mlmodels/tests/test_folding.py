"""Which spellings are of one name, and which name is meant by a misspelt one."""

import time

import pytest

from mlmodels.folding import LONGEST, LONGEST_ECHO, fold, nearest, shorten

NAMES = ("peugeot", "mercedes", "volkswagen", "x6")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alfa Romeo", "alfa-romero".replace("romero", "romeo")),
        ("alfa_romeo", "ALFA\u00a0ROMEO"),
        ("bmw", "b\u200bm\ufeffw\u200d"),
        ("bmw", "ＢＭＷ"),
        ("bmw", " bmw\t\n"),
        ("low-carb", "low–carb"),
        ("low-carb", "low−carb"),
        ("low-carb", "low\u00adcarb"),
        ("µmol/L", "μmol/l"),
        ("µmol/L", "umol/L"),
        ("g/cm²", "g/cm2"),
        ("g/cm²", "g/cm^2"),
        ("10^9/L", "10⁹/l"),
        ("10^9/L", "10*9/L"),
        ("min⁻¹", "min-1"),
        ("mm[Hg]", "mmHg"),
        ("4x4", "4×4"),
        ("120/80", "120⁄80"),
        ("Straße", "STRASSE"),
        ("male\ufe0f", "male"),
        ("blood_pressure_(s/d)", "Blood Pressure (s/d)"),
    ],
)
def test_spellings_of_one_name_fold_to_the_same(one: str, other: str) -> None:
    assert fold(one) == fold(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("mg/dL", "mg/L"), ("N/A", "na"), ("5.4", "54"), ("<5", "5"), ("citroën", "citroen")],
)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@pytest.mark.parametrize("text", ["", " ", "-_-", "()", "\u200b", "x" * (LONGEST + 1)])
def test_what_is_no_name_folds_to_nothing(text: str) -> None:
    assert fold(text) == ""


def test_ascii_folds_as_every_other_text_does() -> None:
    for code in range(128):
        character = chr(code)
        assert fold(character) == fold(f"{character}é").removesuffix("é")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Peugoot", "peugeot"),
        ("mercedez", "mercedes"),
        ("Folkswagen", "volkswagen"),
        ("tesla", None),
        ("x", None),
        ("", None),
        ("peugeot" * 30, None),
    ],
)
def test_the_nearest_name_is_the_one_that_may_be_meant(text: str, meant: str | None) -> None:
    assert nearest(text, {name: name for name in NAMES}) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("ohvc", None),  # or is it ohc?
        ("ohcw", None),
        ("ohcvv", "ohcv"),
        ("ohv", None),  # or is it ohc?
        ("kwh", "kw"),
        ("kw", "kw"),
        ("kerw", None),
        ("cera", "crea"),
        ("wk", None),
        ("urea", None),  # not crea
        ("merc", None),
        ("direct injection", None),
        ("indirect injektion", "indirectinjection"),
        ("coloumn", None),  # two things are as near
        ("kolumm", None),
        ("mercuri", "mercury"),
    ],
)
def test_what_is_alike_by_chance_is_not_suggested(text: str, meant: str | None) -> None:
    names = {"ohcv": 1, "ohc": 2, "kw": 3, "crea": 4, "mercury": 5, "indirectinjection": 6}
    names |= {"indirectinjectiondiesel": 6, "column": 7, "colourn": 8}

    assert nearest(text, names) == meant


def test_two_names_of_one_thing_are_no_rivals() -> None:
    assert nearest("mpg highwa", {"mpghighway": 1, "mpghighways": 1}) == "mpghighway"


@pytest.mark.parametrize("text", ["x" * 2_000_000, "\u202e" * 2_000_000, "é" * 2_000_000])
def test_a_huge_text_costs_nothing(text: str) -> None:
    before = time.process_time()

    assert (fold(text), nearest(text, {"peugeot": 1})) == ("", None)
    assert len(shorten(text)) <= LONGEST_ECHO

    assert time.process_time() - before < 0.05


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Peugoot", "Peugoot"), ("a\u202eb\0c", "abc"), ("y" * 41, "y" * 39 + "…")],
)
def test_what_was_sent_is_repeated_short_and_visible(text: str, shown: str) -> None:
    assert shorten(text) == shown

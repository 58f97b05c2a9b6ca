"""Comparing names as people write them: "Alfa Romeo" is alfa-romero's, "µmol/l" is "umol/L"."""

import unicodedata
from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache

LONGEST = 200  # characters; a longer text is no name of anything
LONGEST_BEYOND_ASCII = 60  # where each character has to be looked at
LONGEST_ECHO = 40  # characters of what was sent that a message repeats
SIMILARITY = 0.7  # from 0 to 1, of names that may be meant

# Blanks, control and invisible characters, dashes, underscores and brackets.
_DROPPED_CATEGORIES = frozenset(
    ("Zs", "Zl", "Zp", "Cc", "Cf", "Cn", "Co", "Cs", "Pd", "Pc", "Ps", "Pe")
)
# A minus, what marks powers in "10^9/L" and "10*9/L", and what is invisible but counts as a letter
# or an accent: the combining grapheme joiner, fillers and variation selectors.
_DROPPED = frozenset("−^*\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0").union(
    map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
_REPLACED = {"μ": "u", "×": "x", "⁄": "/", "∕": "/"}  # a micro sign is a mu after NFKC


def fold(text: str) -> str:
    """What two spellings of one name have in common; empty for a text too long to be a name.

    Compatible characters (NFKC), upper and lower case, blanks, dashes, underscores, brackets and
    invisible characters make no difference.
    """
    if text.isascii():
        return text.lower().translate(_ascii_table()) if len(text) <= LONGEST else ""
    if len(text) > LONGEST_BEYOND_ASCII:
        return ""
    compatible = unicodedata.normalize("NFKC", text)  # of one character it may make eighteen
    if len(compatible) > LONGEST:
        return ""
    compatible = unicodedata.normalize("NFKC", compatible.casefold())
    return "".join(map(_fold_character, compatible))


def nearest(text: str, folded_names: Collection[str]) -> str | None:
    """Of some folded names, the one that is most like a text, if it may be meant by it."""
    folded = fold(text)
    if not 1 < len(folded) <= LONGEST_ECHO:
        return None
    matches = get_close_matches(folded, folded_names, n=1, cutoff=SIMILARITY)
    return matches[0] if matches else None


def shorten(text: str) -> str:
    """A text that was sent, as a message may repeat it: short, and without invisible characters."""
    visible = "".join(character for character in text[:LONGEST] if character.isprintable())
    return visible if len(visible) <= LONGEST_ECHO else f"{visible[: LONGEST_ECHO - 1]}…"


@lru_cache(maxsize=1)
def _ascii_table() -> dict[int, str]:
    return {code: _fold_character(chr(code)) for code in range(128)} | {
        code: chr(code).lower() for code in range(ord("A"), ord("Z") + 1)
    }


def _fold_character(character: str) -> str:
    if character in _DROPPED or unicodedata.category(character) in _DROPPED_CATEGORIES:
        return ""
    return _REPLACED.get(character, character)

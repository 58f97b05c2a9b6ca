"""Comparing names as people write them: "Alfa Romeo" is alfa-romero's, "µmol/l" is "umol/L"."""

import unicodedata
from collections.abc import Hashable, Mapping
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache

LONGEST = 200  # characters; a longer text is no name of anything
LONGEST_BEYOND_ASCII = 60  # where each character has to be looked at
LONGEST_ECHO = 40  # characters of what was sent that a message repeats
SIMILARITY = 0.7  # from 0 to 1, of names that may be meant
MARGIN = 0.1  # of similarity, by which the name that is meant is nearer than one of another thing
SHORT = 4  # letters; names of so few are alike by chance

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


def nearest(text: str, meanings: Mapping[str, Hashable]) -> str | None:
    """Of some folded names, the one that is most like a text, if it may be meant by it.

    There is none if a name of another meaning is about as near.
    """
    folded = fold(text)
    if not 1 < len(folded) <= LONGEST_ECHO:
        return None
    long = [name for name in meanings if min(len(name), len(folded)) > SHORT]
    near = get_close_matches(folded, long, n=5, cutoff=SIMILARITY)
    near = [name for name in near if not _is_negation(name, folded)]
    likeness = {name: SequenceMatcher(None, name, folded).ratio() for name in near}
    likeness |= {name: SIMILARITY for name in meanings if _is_short_slip(name, folded)}
    if not likeness:
        return None
    best = max(likeness, key=likeness.__getitem__)
    rivals = {meanings[name] for name in likeness if likeness[name] > likeness[best] - MARGIN}
    return best if len(rivals) == 1 else None


def _is_negation(one: str, other: str) -> bool:
    """Whether the one has the other behind a prefix, as "indirect" has "direct"."""
    return one.find(other) > 0 or other.find(one) > 0


def _is_short_slip(name: str, text: str) -> bool:
    """Whether a text differs from a name by one letter or by their order, one being short."""
    short, long = sorted((name, text), key=len)
    if not 1 < len(short) <= SHORT or len(long) - len(short) > 1 or name[0] != text[0]:
        return False
    pairs = enumerate(zip(short, long, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), len(short))
    rest = same + (len(long) == len(short))
    return short[rest:] == long[same + 1 :] or sorted(short) == sorted(long)


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

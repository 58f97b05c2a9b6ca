"""The Russian catalogue is complete, and what is compiled is what is written."""

import ast
import gettext
import re
from pathlib import Path

from django.conf import settings

from mlmodels.domains.texts import texts

CATALOGUE = Path(settings.BASE_DIR) / "locale" / "ru" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]")
Entry = dict[str, str]


def entries() -> list[Entry]:
    """Each entry of the .po: its texts by their keywords. The first is the header."""
    blocks = (CATALOGUE / "django.po").read_text("utf-8").split("\n\n")
    return [_entry(block) for block in blocks if "msgid" in block]


def _entry(block: str) -> Entry:
    entry: Entry = {"comments": ""}
    keyword = "comments"
    for line in block.splitlines():
        if line.startswith("#"):
            entry["comments"] += line
        elif line:
            name, quote, rest = line.partition('"')
            keyword = name.strip() or keyword
            entry[keyword] = entry.get(keyword, "") + ast.literal_eval(quote + rest)
    return entry


HEADER, *ENTRIES = entries()


def translations_of(entry: Entry) -> list[str]:
    return [text for name, text in entry.items() if name.startswith("msgstr")]


def test_every_text_has_a_translation_that_somebody_looked_at() -> None:
    assert len(ENTRIES) > 700
    assert [each["msgid"] for each in ENTRIES if not all(translations_of(each))] == []
    assert [each["msgid"] for each in ENTRIES if "fuzzy" in each["comments"]] == []


def test_what_is_compiled_is_what_is_written() -> None:
    with (CATALOGUE / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for each in ENTRIES:
        if "msgid_plural" in each or "msgctxt" in each:
            continue
        assert compiled.gettext(each["msgid"]) == each["msgstr"]
    number_of_ids = len({key if isinstance(key, str) else key[0] for key in compiled._catalog})  # type: ignore[attr-defined]
    assert number_of_ids == len(ENTRIES) + 1  # and the header


def test_every_text_of_the_domains_is_in_it() -> None:
    known = {each["msgid"] for each in ENTRIES}

    assert [text for text in texts() if text not in known] == []


def test_a_translation_has_the_same_figures_put_in() -> None:
    for each in ENTRIES:
        wanted = set(PLACEHOLDER.findall(each.get("msgid_plural", each["msgid"])))
        for text in translations_of(each):
            assert set(PLACEHOLDER.findall(text)) == wanted, each["msgid"]

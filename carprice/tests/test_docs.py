"""What the documentation names is there: files, sections, targets, commands, settings."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command, get_commands

ROOT = settings.BASE_DIR
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "bench/*.md", "testing/**/*.md", "clients/**/*.md")
    for path in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def anchors(page: Path) -> set[str]:
    """Of its headings as GitHub makes them, and those that are written out."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    plain = (re.sub(r"<[^>]+>|[^\w\s-]", "", heading).strip().lower() for heading in headings)
    return {each.replace(" ", "-") for each in plain} | set(re.findall(r'id="([^"]+)"', text))


def names_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_there_is_something_to_read() -> None:
    assert len(PAGES) > 30


@pytest.mark.parametrize("page", PAGES, ids=names_of)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for path, anchor in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(f"{path}#{anchor}")

    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=names_of)
def test_targets_and_commands_exist(page: Path) -> None:
    text = page.read_text()

    targets = set(re.findall(r"`make ([a-z-]+)", text)) | set(
        re.findall(r"^    make ([a-z-]+)", text, re.M)
    )
    commands = set(re.findall(r"manage\.py ([a-z_]+)", text))

    assert targets <= TARGETS
    assert commands <= set(get_commands())


def test_the_page_of_settings_is_up_to_date() -> None:
    call_command("write_settings_doc", check=True)


def test_each_threat_is_tested_as_the_page_says() -> None:
    text = (ROOT / "docs" / "security.md").read_text()

    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", text)
    assert len(named) > 25
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text() or not name, f"{path}::{name}"

"""docs/settings.md, of `.env.template`: which a test compares with what the settings read."""

import re

from django.conf import settings

FILE = settings.BASE_DIR / "docs" / "settings.md"
SECTION = re.compile(r"# --- (.+?) -+")
SETTING = re.compile(r"# ([A-Z][A-Z0-9_]*)=(.*)")
INTRODUCTION = """# Settings

From the environment, or from `.env`, a copy of [.env.template](../.env.template), of which
`make settings-doc` writes this page; the environment wins. Shown are defaults, or examples where
there is none. A malformed one ends the start with a sentence that names it. Each NAME may be in a
file instead, whose path is `NAME_FILE`.
"""


def render(template: str) -> str:
    """A section for each of the template's, with a row for each block of settings."""
    _introduction, *blocks = template.strip().split("\n\n")
    parts = [INTRODUCTION]
    for block in blocks:
        if section := SECTION.fullmatch(block):
            parts.append(f"\n## {section[1]}\n\n| Settings | They set |\n|---|---|\n")
        elif row := _row(block.splitlines()):
            parts.append(row)
    return "".join(parts)


def _row(lines: list[str]) -> str:
    """Empty for a block that describes no setting, such as the template's own introduction."""
    named = [match.groups() for line in lines if (match := SETTING.fullmatch(line))]
    words = " ".join(line.removeprefix("#").strip() for line in lines if not SETTING.match(line))
    names = "<br>".join(f"`{name}={value}`" if value else f"`{name}`" for name, value in named)
    return f"| {names} | {words.replace('|', chr(92) + '|')} |\n" if named else ""

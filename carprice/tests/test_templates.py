"""What holds for every template."""

from pathlib import Path

import pytest
from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "templates"
NAMES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))
LONGEST_LINE = 120


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_longer_than_120_characters(name: str) -> None:
    lines = (FOLDER / name).read_text("utf-8").splitlines()

    assert [line for line in lines if len(line) > LONGEST_LINE] == []

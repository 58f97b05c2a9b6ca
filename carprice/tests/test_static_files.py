"""Static files are collected when something changed, and only then."""

import os
import time
from pathlib import Path

import pytest
from django.conf import LazySettings

from carprice import static_files


@pytest.fixture
def source(settings: LazySettings, tmp_path: Path) -> Path:
    """The only source, of a static root of its own."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "site.css").write_text("body {}")
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATIC_ROOT = tmp_path / "static"
    return folder / "site.css"


@pytest.fixture
def collected(source: Path, settings: LazySettings) -> Path:
    """What was made of it."""
    assert static_files.collect()
    return Path(settings.STATIC_ROOT) / "site.css"


def test_what_was_collected_is_not_collected_again(collected: Path) -> None:
    assert not static_files.collect()
    assert collected.read_text() == "body {}"


def test_a_changed_source_is_collected(source: Path, collected: Path) -> None:
    source.write_text("body { color: red }")
    later = time.time() + 10  # Django looks at whole seconds
    os.utime(source, (later, later))

    assert static_files.collect()
    assert collected.read_text() == "body { color: red }"


def test_a_new_source_is_collected(source: Path, collected: Path) -> None:
    source.with_name("print.css").write_text("p {}")

    assert static_files.collect()
    assert collected.with_name("print.css").exists()


def test_a_file_that_was_deleted_is_collected_again(collected: Path) -> None:
    collected.unlink()

    assert static_files.collect()
    assert collected.exists()


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"digest": 1, "files": null}'])
def test_a_record_that_cannot_be_read_is_made_again(collected: Path, record: str) -> None:
    static_files.record_path().write_text(record)

    assert static_files.collect()
    assert not static_files.collect()

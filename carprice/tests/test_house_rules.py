"""Rules for the tests themselves and for what they share."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

LONGEST = 600  # lines of a file
APPS = ["carprice", "accounts", "billing", "mlmodels", "predictions", "clients/python"]


def files_of_tests() -> list[Path]:
    return [path for app in APPS for path in (settings.BASE_DIR / app / "tests").rglob("*.py")]


def files_of_testing() -> list[Path]:
    return list((settings.BASE_DIR / "testing").rglob("*.py"))


def imports(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Each file with each module that it imports."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((str(path), alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(path), node.module or ""


def test_no_file_of_tests_is_longer_than_600_lines() -> None:
    lengths = {
        str(path): len(path.read_text().splitlines())
        for path in [*files_of_tests(), *files_of_testing()]
    }

    assert len(lengths) > 80
    assert not {path: length for path, length in lengths.items() if length > LONGEST}


def test_no_test_imports_from_another() -> None:
    modules = list(imports(files_of_tests()))

    assert len(modules) > 500
    assert not [(path, name) for path, name in modules if ".tests" in name]


def test_what_tests_share_imports_neither_a_benchmark_nor_a_test() -> None:
    modules = list(imports(files_of_testing()))

    assert len(modules) > 100
    assert not [
        (path, name)
        for path, name in modules
        if name.partition(".")[0] == "bench" or ".tests" in name
    ]

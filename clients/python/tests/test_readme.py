"""The examples of the README, run in their order as a reader would."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testing.processes import CREDIT, PASSWORD, Customer

pytestmark = pytest.mark.processes

README = Path(__file__).parent.parent / "README.md"
SOURCE = README.parent / "src"


def examples() -> str:
    """All of them, each in the lines where the README has it."""
    inside, lines = False, []
    for line in README.read_text().splitlines():
        fence = line.startswith("```")
        inside = line == "```python" if fence else inside
        lines.append(line if inside and not fence else "")
    return "\n".join(lines)


def test_every_example_runs(
    address: str,
    ada: Customer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CARPRICE_URL", address)
    monkeypatch.setenv("CARPRICE_EMAIL", ada.email)
    monkeypatch.setenv("CARPRICE_PASSWORD", PASSWORD)
    namespace: dict[str, Any] = {"__name__": "readme"}

    exec(compile(examples(), README, "exec"), namespace)
    namespace["client"].close()

    printed = capsys.readouterr().out
    price = namespace["forest"].price
    assert "row 9: " in printed
    assert "row 10: {'wings': ['Unknown feature.']}" in printed
    # Each buys once: 3 alone, 10 rows, a draft; 1 + 10 + 1 by the async client.
    assert ada.balance() == CREDIT + 50 - 26 * price


def test_every_example_has_types_that_fit(tmp_path: Path) -> None:
    (tmp_path / "examples.py").write_text(examples())
    (tmp_path / "mypy.ini").write_text("[mypy]\n")

    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "examples.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout

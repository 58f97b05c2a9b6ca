"""The examples of the README, run in their order as a reader would."""

import re
from pathlib import Path
from typing import Any

import pytest

from testing.processes import CREDIT, PASSWORD, Customer

pytestmark = pytest.mark.processes

README = Path(__file__).parent.parent / "README.md"


def test_every_example_runs(
    address: str,
    ada: Customer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CARPRICE_URL", address)
    monkeypatch.setenv("CARPRICE_EMAIL", ada.email)
    monkeypatch.setenv("CARPRICE_PASSWORD", PASSWORD)
    examples = list(re.finditer(r"```python\n(.*?)```", README.read_text(), re.DOTALL))
    namespace: dict[str, Any] = {"__name__": "readme"}

    for example in examples:
        lines_before = README.read_text()[: example.start(1)].count("\n")
        exec(compile("\n" * lines_before + example[1], README, "exec"), namespace)
    namespace["client"].close()

    printed = capsys.readouterr().out
    price = namespace["forest"].price
    assert "row 9: " in printed
    assert "row 10: {'wings': ['Unknown feature.']}" in printed
    # Each buys once: 3 alone, 10 rows, a draft; 1 + 10 + 1 by the async client.
    assert ada.balance() == CREDIT + 50 - 26 * price

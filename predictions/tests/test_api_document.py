"""docs/api.md: its commands are run as they stand, against a real service."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from testing.processes import Service, Trained

pytestmark = pytest.mark.processes

PAGE = Path(settings.BASE_DIR) / "docs" / "api.md"
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture
def address(trained: Trained) -> Iterator[str]:
    with Service() as service:
        service.set_up(trained)
        address = service.start_web()
        service.start_worker(WORKER_CONCURRENCY="1")
        yield address


def test_every_command_runs(address: str) -> None:
    script = "\n".join(["set -euo pipefail", *COMMANDS, 'test "$again" = "$id"'])

    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "CARPRICE_URL": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert '"balance":200' in done.stdout.replace(" ", "")
    assert "finished\n" in done.stdout

"""The files that processes count in: as many as there were at a time, and no count is lost."""

import errno
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carprice.metrics import slots
from testing.processes import Customer, Process, Service, Trained, eventually

COUNT = """
import os, signal, sys
import django
django.setup()
from carprice.metrics import registry
ends = registry.counter("carprice_test_total", "Of a test.", ["kind"])
def count():
    for _ in range(100):
        registry.count(ends, "one")
count()
for _ in range(2):
    if os.fork() == 0:
        count()
        os.kill(os.getpid(), signal.SIGKILL)
for _ in range(2):
    os.wait()
count()
print(registry.exposition().decode(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_counting(var: Path) -> float:
    """What a process with two forked children sees, all of which are killed in the end."""
    ended = subprocess.run(
        [sys.executable, "-c", COUNT],
        env={**os.environ, "VAR_DIR": str(var)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    match = re.search(r'^carprice_test_total\{kind="one"\} (\S+)$', ended.stdout, re.MULTILINE)
    assert match
    return float(match[1])


def test_counts_survive_processes_that_are_killed_in_a_bounded_number_of_files(
    tmp_path: Path,
) -> None:
    totals = [run_counting(tmp_path) for _ in range(3)]

    assert totals == [400, 800, 1200]
    assert len(list((tmp_path / "run" / "metrics").glob("*.db"))) <= 3 * len(slots.KINDS)


@pytest.fixture
def apart(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which this process has no slot yet."""
    settings.METRICS_DIR = tmp_path / "metrics"
    monkeypatch.setattr(slots, "_owner", 0)
    monkeypatch.setattr(slots, "_lock", None)
    monkeypatch.setattr(slots, "_slot", "")
    return tmp_path / "metrics"


def test_what_no_process_counts_in_is_removed(apart: Path) -> None:
    apart.mkdir()
    for number in ("0", "1"):
        slots._allocate(apart, number)
        (apart / f"{number}.lock").touch()
    assert slots.own() == "0"

    slots.remove_unused()

    assert {path.name for path in apart.glob("*.db")} == {"counter_0.db", "histogram_0.db"}


def test_a_file_has_no_holes_that_a_full_disk_could_not_fill(apart: Path) -> None:
    slots.own()

    for path in apart.glob("*.db"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 0


def test_a_disk_that_is_full_leaves_no_slot_and_no_half_file(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            slots.own()

    assert not list(apart.glob("*.db"))
    assert slots.own() == "0"


# --- Real processes -------------------------------------------------------------------------------


@pytest.fixture
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.set_up(trained[:1])
        yield service
        print(service.logs())  # pytest shows it if the test failed


def scraped(address: str, sample: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as response:
        text = response.read().decode()
    match = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(match[1]) if match else 0.0


@pytest.mark.processes
def test_any_web_process_answers_for_all_web_and_worker_processes(service: Service) -> None:
    address = service.start_web(WEB_PROCESSES="2")
    worker: Process = service.start_worker()
    ada = Customer(address)
    jobs = [ada.predict("linear_regression", horsepower=power) for power in (100, 110, 120)]
    eventually(lambda: all(ada.job(job)["status"] == "finished" for job in jobs))
    submitted = (
        'carprice_http_request_seconds_count{method="POST",route="root-predict",status="2xx"}'
    )
    finished = 'carprice_predictions_ended_total{outcome="finished",predictor="linear_regression"}'

    def totals() -> tuple[float, float]:
        return scraped(address, submitted), scraped(address, finished)

    assert {totals() for _ in range(10)} == {(3, 3)}
    for process in service.processes():
        if any("gunicorn" in word for word in process.cmdline()) and process.children() == []:
            process.kill()  # web processes, which gunicorn replaces
    worker.kill()
    service.start_worker()
    job = eventually(lambda: retried(lambda: ada.predict("linear_regression", horsepower=130)))
    eventually(lambda: ada.job(job)["status"] == "finished")

    assert {totals() for _ in range(10)} == {(4, 4)}


def retried(ask: Any) -> Any:
    """The answer; None while the process that was asked is replaced."""
    try:
        return ask()
    except OSError:
        return None

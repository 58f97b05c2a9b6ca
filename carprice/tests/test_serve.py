"""What `manage.py serve` does with its processes: waits until they are ready, gives up on one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from carprice.management.commands import serve
from carprice.management.supervision import MAX_ENDS, MAX_FAILED_STARTS, WITHIN_SECONDS, Deaths

# Python runs this first, in every process. The worker meets a fault that only it can meet, such as
# a library that is damaged; the web process has nothing to do.
BROKEN_WORKER = """
import os, pathlib, sys, time
if "gunicorn" in sys.orig_argv:
    pathlib.Path(os.environ["READY_DIR"], "web").touch()
    time.sleep(1000)
if "celery" in sys.orig_argv:
    {first}
    print("ImportError: libgomp.so.1: cannot open shared object file", flush=True)
    os._exit(1)
"""


def test_a_process_that_never_was_ready_is_given_up_after_few_attempts() -> None:
    deaths = Deaths()

    reasons = [deaths.record(was_ready=False, now=100.0 * n) for n in range(MAX_FAILED_STARTS)]

    assert reasons == [""] * (MAX_FAILED_STARTS - 1) + ["could not start in 3 attempts"]


def test_a_process_that_dies_now_and_then_is_always_started_again() -> None:
    deaths = Deaths()

    pause = WITHIN_SECONDS / (MAX_ENDS - 1)
    reasons = [deaths.record(was_ready=True, now=pause * n) for n in range(20)]

    assert reasons == [""] * 20


def test_a_process_that_keeps_dying_is_given_up() -> None:
    deaths = Deaths()

    reasons = [deaths.record(was_ready=True, now=float(n)) for n in range(MAX_ENDS)]

    assert reasons == [""] * (MAX_ENDS - 1) + ["ended 5 times within 60 seconds"]


def test_a_start_that_succeeds_makes_earlier_failures_forgotten() -> None:
    deaths = Deaths()

    outcomes = [False, False, True, False, False]

    reasons = [
        deaths.record(was_ready=outcome, now=100.0 * n) for n, outcome in enumerate(outcomes)
    ]
    assert not any(reasons)


@pytest.fixture
def supervisor() -> Iterator["subprocess.Popen[bytes]"]:
    """A process in the place of the supervisor, which runs until it is stopped."""
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


def test_it_is_ready_when_web_and_worker_are(
    supervisor: "subprocess.Popen[bytes]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "STILL_STARTING_SECONDS", 0)
    (tmp_path / "web").touch()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        (tmp_path / "worker").touch()

    assert serve.wait_until_ready(supervisor, tmp_path, tell)
    assert told == ["Still starting: worker. What is logged above may say why.\n"]


def test_it_is_not_ready_when_the_supervisor_has_ended(
    supervisor: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    (tmp_path / "web").touch()
    supervisor.kill()

    assert not serve.wait_until_ready(supervisor, tmp_path, pytest.fail)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("pass", "could not start in 3 attempts"),
        ("pathlib.Path(os.environ['READY_DIR'], 'worker').touch()", "ended 5 times"),
    ],
    ids=["cannot start", "keeps dying"],
)
def test_a_worker_that_keeps_dying_ends_the_service_with_its_own_message(
    tmp_path: Path, first: str, reason: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN_WORKER.format(first=first))
    (tmp_path / "run").mkdir()

    ended = subprocess.run(
        [sys.executable, "-m", "carprice.management.supervision"],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "SERVE_PYTHON": sys.executable,
            "READY_DIR": str(tmp_path / "run"),
            "VAR_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"carprice: the worker process {reason}")
    assert ended.stderr.rstrip().endswith("libgomp.so.1: cannot open shared object file")

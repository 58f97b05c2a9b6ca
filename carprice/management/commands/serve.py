import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from accounts.demo import DEMO_EMAIL, OPERATOR_EMAIL, demo_password
from carprice.management import addresses
from carprice.management.places import explain_disk_faults
from carprice.readiness import DIRECTORY

PROCESSES = ("web", "worker")
READY_POLL_SECONDS = 0.1
STILL_STARTING_SECONDS = 30


class Command(BaseCommand):
    help = (
        "Set up, then run web and worker together until Ctrl-C. Exit status: 0, it was told to "
        "end; another one, it could not be set up, or a process kept dying."
    )

    @explain_disk_faults
    def handle(self, *args: Any, **options: Any) -> None:
        addresses.check_port()
        # Nobody waits for more than one predictor: the process `training` sees to the others.
        call_command("setup", demo=True, first=True, stdout=self.stdout)
        sys.exit(supervise(self.announcement(), self.say))

    def announcement(self) -> str:
        """What to say when it answers. Nothing may fail any more when processes run."""
        return (
            f"\n{addresses.describe()}"
            f"Sign in as {DEMO_EMAIL}, or for the admin (/{settings.ADMIN_PATH}/) as "
            f"{OPERATOR_EMAIL};\nthe password of both is {demo_password()}\n"
        )

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def supervise(announcement: str, tell: Callable[[str], object]) -> int:
    """Run the processes until a signal ends them, or one keeps dying; returns the exit status.

    Tells the announcement when web and worker are ready.

    The supervisor is in a session of its own, so that it gets one signal, from here, whether this
    process was interrupted, terminated or lost its terminal.
    """
    run_directory = Path(settings.RUN_DIR)
    run_directory.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run_directory) as name:
        process = start(Path(name))
        with contextlib.suppress(OSError):  # nobody reads it any more, which stops no service
            if wait_until_ready(process, Path(name), tell):
                tell(announcement)
        return process.wait()


def start(ready_directory: Path) -> "subprocess.Popen[bytes]":
    """Start the supervisor, and pass signals on to it from now on."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until there are handlers
    process = subprocess.Popen(
        [sys.executable, "-m", "carprice.management.supervision"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "SERVE_PYTHON": sys.executable, DIRECTORY: str(ready_directory)},
        start_new_session=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals) and None,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    for number in signals:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    return process


def wait_until_ready(
    process: "subprocess.Popen[bytes]", directory: Path, tell: Callable[[str], object]
) -> bool:
    """Whether web and worker became ready; False if the supervisor ended before."""
    next_word = time.monotonic() + STILL_STARTING_SECONDS
    while process.poll() is None:
        missing = [name for name in PROCESSES if not (directory / name).exists()]
        if not missing:
            return True
        if time.monotonic() >= next_word:
            tell(f"Still starting: {' and '.join(missing)}. What is logged above may say why.\n")
            next_word += STILL_STARTING_SECONDS
        time.sleep(READY_POLL_SECONDS)
    return False

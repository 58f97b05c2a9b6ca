import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand

from accounts.demo import DEMO_EMAIL, OPERATOR_EMAIL, demo_password

SUPERVISOR = """
[supervisord]
nodaemon=true
loglevel=warn
logfile=/dev/null
logfile_maxbytes=0
pidfile={var}/supervisord.pid
{user}

[program:web]
command={python} -m gunicorn -c python:carprice.gunicorn carprice.wsgi
directory={base}
{common}

[program:worker]
command=nice -n 5 {python} -m celery --quiet -A carprice worker --loglevel WARNING
directory={base}
{common}
"""
COMMON = """autorestart=true
startsecs=1
startretries=1000
stopwaitsecs=35
killasgroup=true
redirect_stderr=true
stdout_logfile=/dev/fd/1
stdout_logfile_maxbytes=0"""


class Command(BaseCommand):
    help = "Set up, then run web and worker together until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        check_port()
        call_command("setup", demo=True, stdout=self.stdout)
        self.stdout.write(
            f"\nCarprice answers at http://localhost:{settings.PORT} (Ctrl-C stops it).\n"
            f"Sign in as {DEMO_EMAIL}, or for the admin (/{settings.ADMIN_PATH}/) as "
            f"{OPERATOR_EMAIL};\nthe password of both is {demo_password()}\n"
        )
        self.stdout.flush()
        sys.exit(supervise())


def check_port() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.PORT))
        except OSError as error:
            raise ImproperlyConfigured(
                f"PORT {settings.PORT} cannot be used: {error.strerror}. "
                "Set PORT to a free one, such as `make run PORT=8001`."
            ) from error


def supervise() -> int:
    """Run the processes until a signal ends them; returns the supervisor's exit status.

    The supervisor is in a session of its own, so that it gets one signal, from here, whether this
    process was interrupted, terminated or lost its terminal.
    """
    config = Path(settings.VAR_DIR) / "supervisord.conf"
    paths = {"var": settings.VAR_DIR, "base": settings.BASE_DIR, "python": sys.executable}
    user = "user=root" if os.geteuid() == 0 else ""  # supervisor warns root if this is left out
    config.write_text(SUPERVISOR.format(**paths, user=user, common=COMMON))
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # until there are handlers
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor.supervisord", "-c", config],
        start_new_session=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals) and None,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    for number in signals:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    return process.wait()

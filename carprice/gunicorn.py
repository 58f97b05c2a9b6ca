"""Gunicorn's configuration: `gunicorn -c python:carprice.gunicorn carprice.wsgi`."""

import ctypes
import gc
import os

# Threads share a pool of database connections; the settings are read after this.
os.environ.setdefault("DATABASE_POOL", "true")

from carprice.readiness import report_ready
from carprice.settings import (
    BIND_HOST,
    LOG_FORMAT,
    PORT,
    WEB_CONNECTIONS,
    WEB_PROCESSES,
    WEB_THREADS,
    WEB_WAITERS,
)

bind = f"[{BIND_HOST}]:{PORT}" if ":" in BIND_HOST else f"{BIND_HOST}:{PORT}"
worker_class = "carprice.server.thread_worker.SlowClientWorker"
workers = WEB_PROCESSES
threads = WEB_THREADS + WEB_WAITERS  # those that work at a time, and those that wait
worker_connections = threads + WEB_CONNECTIONS
sendfile = False  # it would wait for a slow client without limit
preload_app = False  # forked processes must not share connections
timeout = 30
graceful_timeout = 25
keepalive = 30
max_requests = 50_000
max_requests_jitter = 5_000
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190
control_socket_disable = True
if LOG_FORMAT == "json":
    logger_class = "carprice.logs.gunicorn_logger.JsonLogger"

M_MMAP_THRESHOLD = -3  # from malloc.h


def give_large_blocks_back() -> None:
    """Have glibc return freed blocks of a megabyte and more, such as Argon2's, to the system.

    By default it keeps such blocks once one was freed: some 20 MiB for each thread that ever
    hashed a password.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, 1024 * 1024)


give_large_blocks_back()


def post_worker_init(worker: object) -> None:
    """Keep the garbage collector from looking at what is loaded now, which stays forever.

    Gunicorn calls this when the application is loaded, right before requests are answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    report_ready("web")

"""Gunicorn's configuration: `gunicorn -c python:carprice.gunicorn carprice.wsgi`."""

import gc
import os

from carprice.configuration import integer
from carprice.settings import BROKER_KIND, ON_POSTGRESQL, PORT

bind = f"{os.environ.get('BIND_HOST', '127.0.0.1')}:{PORT}"
worker_class = "gthread"
# SQLite has one writer, and throttles that no Redis shares are counted in one process.
workers = integer(
    "WEB_PROCESSES", 2 if ON_POSTGRESQL and BROKER_KIND == "redis" else 1, low=1, high=64
)
threads = integer("WEB_THREADS", 8, low=1, high=64)
preload_app = False  # connections must not be shared by forked processes
timeout = 30
graceful_timeout = 25
keepalive = 30
max_requests = 50_000
max_requests_jitter = 5_000
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 8190
control_socket_disable = True


def post_worker_init(worker: object) -> None:
    """What is loaded now stays for ever: the garbage collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)

"""The Celery application. It notifies workers and runs their pool; no result backend is used."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun, worker_init, worker_process_init
from celery.states import SUCCESS

from carprice.broker import register_transports

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")

register_transports()

app = Celery("carprice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def prepare_pool(**_: Any) -> None:
    from predictions import worker

    worker.prepare_pool()


@worker_process_init.connect
def start_pool_process(**_: Any) -> None:
    from predictions import worker

    worker.start_process()


@task_prerun.connect
def replace_broken_connection(**_: Any) -> None:
    """Connections are kept between tasks; one that broke or grew old is replaced first."""
    from django.db import close_old_connections

    from carprice.db import connection_state

    if connection_state.is_in_transaction():  # a time limit came between two tasks
        connection_state.discard_connection()
    close_old_connections()


@task_postrun.connect
def discard_connection_after_failure(state: str, **_: Any) -> None:
    """A task that failed may have left the connection in a state that Django does not know.

    Its time limit is an exception that a signal raises, be it within a BEGIN. The transaction would
    stay open while the process waits for its next task, and on SQLite keep everybody from writing.
    """
    from carprice.db import connection_state

    if state != SUCCESS:
        connection_state.discard_connection()

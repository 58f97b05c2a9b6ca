"""The Celery application: it notifies workers and runs their pools. It has no result backend."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import (
    after_setup_logger,
    after_setup_task_logger,
    task_postrun,
    task_prerun,
    worker_init,
    worker_process_init,
    worker_ready,
)
from celery.states import SUCCESS
from celery.utils.log import get_multiprocessing_logger

from carprice import telemetry
from carprice.broker import register_transports
from carprice.broker.reconnecting import PauseBeforeConnecting
from carprice.readiness import report_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")

register_transports()

app = Celery("carprice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(PauseBeforeConnecting)


@after_setup_logger.connect
@after_setup_task_logger.connect
def write_alike(logger: logging.Logger, **_: Any) -> None:
    from django.conf import settings

    from carprice.logs.formats import write_json

    if settings.LOG_FORMAT == "json":
        for each in filter(None, (logger, get_multiprocessing_logger())):
            write_json(each)


@worker_init.connect
def prepare_pool(**_: Any) -> None:
    from predictions import worker

    worker.prepare_pool()


@worker_process_init.connect
def start_pool_process(**_: Any) -> None:
    from predictions import worker

    telemetry.start("worker")
    worker.start_process()


@worker_ready.connect
def report_worker_ready(**_: Any) -> None:
    report_ready("worker")


@task_prerun.connect
def replace_broken_connection(**_: Any) -> None:
    """Connections are kept between tasks; one that is broken or too old is replaced first."""
    from django.db import close_old_connections

    from carprice.db import connection_state

    if connection_state.is_in_transaction():  # a time limit struck between two tasks
        connection_state.discard_connection()
    close_old_connections()


@task_postrun.connect
def discard_connection_after_failure(state: str, **_: Any) -> None:
    """A task that failed may have left the connection in a state that Django does not know.

    A time limit is an exception that a signal handler raises anywhere, even within a BEGIN. The
    transaction would stay open while the process waits for its next task, and on SQLite it would
    keep all other processes from writing.
    """
    from carprice.db import connection_state

    if state != SUCCESS:
        connection_state.discard_connection()

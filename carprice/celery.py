"""The Celery application. Only its doorbell and its worker pool are used; no result backend is."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_prerun, worker_init, worker_process_init
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "carprice.settings")

TRANSPORT_ALIASES["embedded"] = "carprice.embedded_broker:Transport"
TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "carprice.redis_transport:Transport"

app = Celery("carprice")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def prepare_pool(**_: Any) -> None:
    from predictions import worker

    worker.prepare()


@worker_process_init.connect
def start_pool_process(**_: Any) -> None:
    from predictions import worker

    worker.start()


@task_prerun.connect
def drop_broken_connections(**_: Any) -> None:
    """Connections are kept between tasks; one that broke or grew old is replaced first."""
    from django.db import close_old_connections

    close_old_connections()

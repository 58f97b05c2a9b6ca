"""The service's settings for processes that are to be hurt: the same, with `injection` added."""

import os

from carprice.settings import *  # noqa: F403
from carprice.settings import CELERY_TASK_DEFAULT_QUEUE, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "testing.chaos.injection.Injection"]

# A queue of one's own on a RabbitMQ that others use too.
CELERY_TASK_DEFAULT_QUEUE = os.environ.get("FAULT_QUEUE") or CELERY_TASK_DEFAULT_QUEUE

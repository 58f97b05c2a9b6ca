"""The least that a Celery application does: one task, which answers. `bounds.py` measures it."""

import os

import redis
from celery import Celery

app = Celery("bare", broker=os.environ.get("CELERY_BROKER_URL"))
app.conf.update(task_default_queue="bare", task_ignore_result=True, worker_hijack_root_logger=False)
ANSWERS = "bare-answers"


@app.task(name="answer")
def answer(number: int) -> None:
    redis.Redis.from_url(app.conf.broker_url).rpush(ANSWERS, number)

"""Celery's side: each task translates a message into a call, and may run any number of times."""

import time
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.db.models.functions import Now

from predictions.execution import examples, recovery, runner
from predictions.models import Heartbeat, Prediction, WhatIf
from predictions.notifications import notify_workers
from predictions.personal_data import deletion, retention

MAX_TASK_SECONDS = 2.0  # after which other versions are served
BATCHES_FOR_A_RETRY = 8  # a stream of first attempts must not starve the retries
HEARTBEAT_KEPT_FOR = timedelta(days=1)


@shared_task
def score_predictions(version_id: str) -> None:
    """Score what waits for a version until nothing does, or it has taken long enough."""
    key = UUID(version_id)
    ends = time.monotonic() + MAX_TASK_SECONDS
    for batch in count(1):
        rows = runner.run_first_attempts(Prediction, key)
        if not rows or batch % BATCHES_FOR_A_RETRY == 0:
            rows += runner.run_retry(Prediction, key)
        if not rows:
            return
        if time.monotonic() > ends:
            notify_workers(Prediction, key)
            _serve_other_versions(key)
            return


def _serve_other_versions(busy: UUID) -> None:
    """Score a batch of each other version that waits: its message is behind many of a busy one.

    What-ifs first: somebody waits for each.
    """
    for version_id in recovery.waiting_versions(WhatIf):
        runner.run_queued(WhatIf, version_id)
    sweep = timedelta(seconds=settings.SWEEP_SECONDS)
    for version_id in recovery.waiting_versions(Prediction, longer_than=sweep):
        if version_id != busy:
            runner.run_queued(Prediction, version_id)


@shared_task
def score_what_ifs(version_id: str) -> None:
    """Score the what-ifs of a version until none waits."""
    while runner.run_queued(WhatIf, UUID(version_id)):
        pass


@shared_task(bind=True)
def beat(self: Any) -> None:
    """Record that this worker consumes messages and reaches the database; make new examples."""
    Heartbeat.objects.update_or_create(worker=self.request.hostname, defaults={"beat_at": Now()})
    Heartbeat.objects.filter(beat_at__lt=Now() - HEARTBEAT_KEPT_FOR).delete()
    examples.make_missing()
    deletion.resume(seconds=MAX_TASK_SECONDS)
    retention.prune_when_due(seconds=MAX_TASK_SECONDS)

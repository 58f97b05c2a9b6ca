"""Celery's side: each task translates a message into a call, and may run any number of times."""

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from celery import shared_task
from django.db.models.functions import Now

from predictions import notifications, what_ifs
from predictions.execution import recovery, runner
from predictions.models import Heartbeat

TURN_SECONDS = 2.0  # after which other messages get their turn
FORGOTTEN_AFTER = timedelta(days=1)


@shared_task
def score_waiting(version_id: str) -> None:
    """Score what waits for a version until nothing does, or the turn is over."""
    key = UUID(version_id)
    turn_ends = time.monotonic() + TURN_SECONDS
    # A suspect with each batch: a stream of fresh rows must not starve those that lost a worker.
    while runner.run_fresh(key) + runner.run_suspect(key):
        if time.monotonic() > turn_ends:
            _give_others_a_turn(key)
            notifications.ring(key)
            return


def _give_others_a_turn(key: UUID) -> None:
    """Score a batch of each other version that waits: its message is behind many of a busy one.

    What-ifs first: somebody waits for each.
    """
    for version_id in what_ifs.waiting_versions():
        what_ifs.run_waiting(version_id)
    for other in recovery.waiting_versions():
        if other != key:
            runner.run_waiting(other)


@shared_task
def score_what_ifs(version_id: str) -> None:
    """Score the what-ifs of a version until none waits."""
    while what_ifs.run_waiting(UUID(version_id)):
        pass


@shared_task(bind=True)
def beat(self: Any) -> None:
    """Note that this worker consumes messages and reaches the database."""
    Heartbeat.objects.update_or_create(worker=self.request.hostname, defaults={"beat_at": Now()})
    Heartbeat.objects.filter(beat_at__lt=Now() - FORGOTTEN_AFTER).delete()

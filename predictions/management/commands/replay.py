import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from carprice.db.snapshots import lift_statement_timeout
from mlmodels.catalogue import queries
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.models import Predictor
from predictions.replay import Replay, replay


class Command(BaseCommand):
    help = (
        "Score stored predictions again, each by its own version, and name those that come out "
        "otherwise. Exits with 1 if any does, or if a version cannot be loaded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--predictor", metavar="NAME", help="only this one's")
        parser.add_argument(
            "--since", metavar="TIME", type=_moment, help="only those finished at or after this"
        )
        parser.add_argument(
            "--limit", metavar="N", type=_count, help="at most so many of each version"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["predictor"]
        lift_statement_timeout()
        rows = differing = faults = 0
        for replayed in replay(
            predictor=_find(name) if name else None,
            since=options["since"],
            limit=options["limit"],
        ):
            self._show(replayed)
            differing += replayed.differing
            if replayed.fault:
                faults += 1
            else:
                rows += replayed.rows
        self.stdout.write(f"{rows:,} predictions replayed, {differing:,} differ.")
        if differing or faults:
            sys.exit(1)

    def _show(self, replayed: Replay) -> None:
        if replayed.fault:
            self.stderr.write(
                f"{replayed.version}: {replayed.rows:,} not replayed. {replayed.fault}"
            )
            return
        apart = f", values by {replayed.largest:.1e} of them at most" if replayed.differing else ""
        self.stdout.write(
            f"{replayed.version}: {replayed.rows:,} replayed, {replayed.differing:,} differ{apart}"
        )
        for difference in replayed.differences:
            self.stderr.write(f"  {difference}")
        self.stdout.flush()


def _find(name: str) -> Predictor:
    try:
        return queries.find_predictor(name)
    except PredictorNotFound as error:
        raise CommandError(str(error)) from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("give a date or a time, such as 2026-11-22T02:11Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("give a number from 1")
    return int(text)

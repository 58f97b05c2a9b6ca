import math
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.reports import ReportCommand
from mlmodels.catalogue import queries
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.models import Predictor
from predictions.replay import Replay, replay


class Command(ReportCommand):
    help = (
        "Score stored predictions again, each by its own version, and name those that come out "
        "otherwise."
    )
    exit_statuses = (
        "0, all come out the same; 1, one does not, or a version cannot be loaded, or there is no "
        "such predictor;"
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
        versions = []
        for replayed in replay(
            predictor=_find(name) if name else None,
            since=options["since"],
            limit=options["limit"],
        ):
            self._show(replayed)
            versions.append(_describe(replayed))
            differing += replayed.differing
            if replayed.fault:
                faults += 1
            else:
                rows += replayed.rows
        self.say(f"{rows:,} predictions replayed, {differing:,} differ.")
        self.report({"replayed": rows, "differing": differing, "versions": versions})
        if differing or faults:
            sys.exit(1)

    def _show(self, replayed: Replay) -> None:
        if replayed.fault:
            self.stderr.write(
                f"{replayed.version}: {replayed.rows:,} not replayed. {replayed.fault}"
            )
            return
        apart = f", values by {replayed.largest:.1e} of them at most" if replayed.differing else ""
        self.say(
            f"{replayed.version}: {replayed.rows:,} replayed, {replayed.differing:,} differ{apart}"
        )
        for difference in replayed.differences:
            self.stderr.write(f"  {difference}")


def _describe(replayed: Replay) -> dict[str, Any]:
    """`rows` are those that a faulty version was not asked for, too."""
    return {
        "model_name": replayed.version.predictor.name,
        "version": replayed.version.label,
        "rows": replayed.rows,
        "differing": replayed.differing,
        "largest": replayed.largest if math.isfinite(replayed.largest) else None,
        "differences": [str(difference) for difference in replayed.differences],
        "fault": replayed.fault or None,
    }


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

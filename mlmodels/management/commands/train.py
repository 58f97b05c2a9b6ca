import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodels.domains import predictor_specs
from mlmodels.training import runner
from mlmodels.training.runner import Entry

LOWEST_PRIORITY = 19


class Command(BaseCommand):
    help = "Train predictors and put them on sale, with what was measured of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", metavar="NAME", help="one predictor by its name")
        parser.add_argument(
            "--missing", action="store_true", help="only those without an artefact that loads"
        )
        parser.add_argument(
            "--first", action="store_true", help="only the one trained fastest, if none loads"
        )
        parser.add_argument(
            "--background",
            action="store_true",
            help="those missing; then measure, at the lowest priority, what was only estimated",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only say what would be done about each, and why; train and change nothing",
        )
        parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to use")

    def handle(self, *args: Any, **options: Any) -> None:
        entries = _entries(options["only"])
        if options["dry_run"]:
            for step in runner.plan(entries, missing=options["missing"]):
                self._print(str(step))
            return
        if options["first"]:
            runner.train_first(entries, progress=self._print)
            return
        missing = options["missing"] or options["background"]
        runner.retrain(entries, missing=missing, jobs=options["jobs"], progress=self._print)
        if options["background"]:
            os.nice(LOWEST_PRIORITY)
            runner.measure_estimates(entries, jobs=options["jobs"], progress=self._print)

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _entries(name: str | None) -> list[Entry]:
    """The predictor of that name, or all if it is None. Raises CommandError if there is none."""
    entries = [(domain, spec) for domain, spec in predictor_specs() if name in (None, spec.name)]
    if not entries:
        names = ", ".join(spec.name for _, spec in predictor_specs())
        raise CommandError(f"There is no predictor {name!r}; choose one of: {names}.")
    return entries

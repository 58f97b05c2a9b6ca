import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from mlmodels.domains import predictor_specs
from mlmodels.training import measured, train
from mlmodels.training.measured import OutdatedCard


class Command(BaseCommand):
    help = "Measure predictors by nested cross-validation, and write their cards in the repository."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="those too whose cards are up to date"
        )
        parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to use")

    def handle(self, *args: Any, **options: Any) -> None:
        for domain, spec in predictor_specs():
            try:
                measured.find(domain, spec)
                reason = ""
            except OutdatedCard as error:
                reason = str(error)
            if not (reason or options["all"]):
                self._print(f"{spec.name}: up to date")
                continue
            self._print(f"{spec.name}: {reason or 'measured anew'}")
            measurement = train.measure(domain, spec, jobs=options["jobs"], progress=self._print)
            same = measured.write(domain, spec, measurement)
            self._print(f"{spec.name}: {'the same figures' if same else 'card written'}")

    def _print(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

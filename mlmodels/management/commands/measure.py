import os
from argparse import ArgumentParser
from typing import Any

from carprice.management.reports import ReportCommand
from mlmodels.domains import predictor_specs
from mlmodels.training import measured, train
from mlmodels.training.measured import OutdatedCard

UP_TO_DATE, SAME, WRITTEN = "up to date", "the same figures", "card written"


class Command(ReportCommand):
    help = "Measure predictors by nested cross-validation, and write their cards in the repository."
    exit_statuses = "0, all cards are up to date now; 1, one could not be measured or written;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--all", action="store_true", help="those too whose cards are up to date"
        )
        parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to use")

    def handle(self, *args: Any, **options: Any) -> None:
        predictors = []
        for domain, spec in predictor_specs():
            try:
                measured.find(domain, spec)
                reason = ""
            except OutdatedCard as error:
                reason = str(error)
            result = UP_TO_DATE
            if reason or options["all"]:
                self.say(f"{spec.name}: {reason or 'measured anew'}")
                measurement = train.measure(domain, spec, jobs=options["jobs"], progress=self.say)
                result = SAME if measured.write(domain, spec, measurement) else WRITTEN
            self.say(f"{spec.name}: {result}")
            predictors.append({"model_name": spec.name, "result": result, "reason": reason})
        self.report({"predictors": predictors})

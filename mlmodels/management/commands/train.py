import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from carprice.management.reports import ReportCommand
from mlmodels.domains import predictor_specs
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.training import runner
from mlmodels.training.runner import Entry

LOWEST_PRIORITY = 19


class Command(ReportCommand):
    help = "Train predictors and put them on sale, with what was measured of them."
    exit_statuses = (
        "0, all that had to be trained is on sale; 1, something could not be trained, or there is "
        "no such predictor;"
    )

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
            steps = runner.plan(entries, missing=options["missing"])
            for step in steps:
                self.say(str(step))
            self.report(
                {
                    "steps": [
                        {
                            "model_name": step.spec.name,
                            "action": step.action,
                            "reason": step.reason or None,
                        }
                        for step in steps
                    ]
                }
            )
            return
        before = {predictor.name: predictor.current_version for predictor in _trained(entries)}
        self._train(entries, options)
        self.report(
            {
                "predictors": [
                    _describe(predictor, since=before.get(predictor.name))
                    for predictor in _trained(entries)
                ]
            }
        )

    def _train(self, entries: list[Entry], options: dict[str, Any]) -> None:
        if options["first"]:
            runner.train_first(entries, progress=self.say)
            return
        missing = options["missing"] or options["background"]
        runner.retrain(entries, missing=missing, jobs=options["jobs"], progress=self.say)
        if options["background"]:
            os.nice(LOWEST_PRIORITY)
            runner.measure_estimates(entries, jobs=options["jobs"], progress=self.say)


def _entries(name: str | None) -> list[Entry]:
    """The predictor of that name, or all if it is None. Raises CommandError if there is none."""
    entries = [(domain, spec) for domain, spec in predictor_specs() if name in (None, spec.name)]
    if not entries:
        names = ", ".join(spec.name for _, spec in predictor_specs())
        raise CommandError(f"There is no predictor {name!r}; choose one of: {names}.")
    return entries


def _trained(entries: list[Entry]) -> list[Predictor]:
    """Those that have a version."""
    predictors = Predictor.objects.select_related("current_version")
    names = [spec.name for _, spec in entries]
    return list(predictors.filter(name__in=names, current_version__isnull=False))


def _describe(predictor: Predictor, *, since: PredictorVersion | None) -> dict[str, Any]:
    """`published` says whether its version is another one than it was before."""
    version = predictor.current_version
    assert version is not None  # noqa: S101  # by _trained
    return {
        "model_name": predictor.name,
        "version": version.label,
        "published": version != since,
        "on_sale": predictor.enabled and not version.fault,
        "fault": version.fault or None,
        "price": predictor.price,
        "metrics": version.metrics,
    }

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlmodels import artefacts, catalogue, training
from mlmodels.artefacts import ArtefactError, read_verified
from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor


class Command(BaseCommand):
    help = "Train predictors, measure them by cross-validation and put them on sale."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only", metavar="NAME", help="one predictor by its name")
        parser.add_argument(
            "--missing", action="store_true", help="only those without an artefact that loads"
        )
        parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes to use")

    def handle(self, *args: Any, **options: Any) -> None:
        specs = _chosen(options["only"])
        domains = {domain.name for domain, _ in specs}
        if options["missing"]:
            specs = [(domain, spec) for domain, spec in specs if not _is_usable(spec.name)]
        for domain, spec in specs:
            card = training.train(domain, spec, jobs=options["jobs"], progress=self._show)
            version = catalogue.publish(domain, spec, card)
            found = card.metrics
            self._show(
                f"{version}: R² {found.r2:.3f}, MAE {found.mae:,.1f} {domain.unit}, "
                f"RMSE {found.rmse:,.1f} {domain.unit}, MAPE {found.mape:.1%}; "
                f"{found.coverage:.1%} within ranges {found.range_width:,.1f} wide"
            )
        for name in domains:  # even if nothing was trained: a run may have ended before its prices
            catalogue.price_by_rank(name)

    def _show(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def _chosen(name: str | None) -> list[tuple[Domain, PredictorSpec]]:
    specs = [(domain, spec) for domain, spec in predictor_specs() if name in (None, spec.name)]
    if not specs:
        known = ", ".join(spec.name for _, spec in predictor_specs())
        raise CommandError(f"There is no predictor {name!r}; choose one of: {known}.")
    return specs


def _is_usable(name: str) -> bool:
    predictor = Predictor.objects.select_related("current_version").filter(name=name).first()
    if predictor is None or predictor.current_version is None:
        return False
    try:
        read_verified(predictor.current_version)
    except ArtefactError:
        return False
    version = predictor.current_version
    return not version.fault and version.artefact_format == artefacts.FORMAT

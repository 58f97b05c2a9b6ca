from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from carprice.management.reports import ReportCommand
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.reporting.markdown import ModelsDocument


class Command(ReportCommand):
    help = "Write docs/models.md and its charts, with the figures of the last training."
    exit_statuses = (
        "0, it is up to date now; 1, with --check it is not, or a predictor has not been trained;"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; fail if it would change something"
        )
        parser.add_argument(
            "--folder", type=Path, default=settings.BASE_DIR / "docs", help="where to write"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            document = ModelsDocument(options["folder"])
        except PredictorNotFound as error:
            raise CommandError("Not all predictors are trained; run manage.py train.") from error
        outdated = document.outdated()
        self.report(
            {
                "folder": str(options["folder"]),
                "outdated": [path.name for path in outdated],
                "written": not options["check"],
            }
        )
        if options["check"]:
            if outdated:
                names = ", ".join(path.name for path in outdated)
                raise CommandError(f"Outdated: {names}. Run manage.py write_models_doc.")
            return
        document.write()
        self.say(f"{len(outdated)} files changed in {options['folder']}.")

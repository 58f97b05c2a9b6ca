from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.reporting.markdown import ModelsDocument


class Command(BaseCommand):
    help = "Write docs/models.md and its charts, with the figures of the last training."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--check", action="store_true", help="write nothing; 1 if it would change something"
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
        if options["check"]:
            if outdated:
                names = ", ".join(path.name for path in outdated)
                raise CommandError(f"Outdated: {names}. Run manage.py write_models_doc.")
            return
        document.write()
        self.stdout.write(f"{len(outdated)} files changed in {options['folder']}.")

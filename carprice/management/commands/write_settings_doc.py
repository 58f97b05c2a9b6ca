from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from carprice.management.reports import ReportCommand
from carprice.management.settings_document import FILE, render


class Command(ReportCommand):
    help = "Write docs/settings.md: every setting, as .env.template describes it."
    exit_statuses = "0, it is up to date now; 1, with --check it is not;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="write nothing; fail if outdated")

    def handle(self, *args: Any, **options: Any) -> None:
        text = render((settings.BASE_DIR / ".env.template").read_text())
        is_outdated = not FILE.exists() or FILE.read_text() != text
        self.report({"file": str(FILE), "outdated": is_outdated, "written": not options["check"]})
        if options["check"]:
            if is_outdated:
                raise CommandError(f"{FILE} is outdated: run manage.py write_settings_doc.")
            return
        FILE.write_text(text)
        self.say(f"{FILE} is {'written' if is_outdated else 'as it was'}.")

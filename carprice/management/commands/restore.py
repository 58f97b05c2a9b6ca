from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import CommandError

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.backups import BackupError
from carprice.management.reports import ReportCommand
from carprice.management.restoring import restore


class Command(ReportCommand):
    help = (
        "Restore what `backup` wrote, bring its tables up to this release, and audit it. With "
        "--json, the report is the audit's. Stop web and worker processes before."
    )
    exit_statuses = "0, it is restored, without a breach; 1, it is not, or the audit found one;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--force", action="store_true", help="replace a database that is not empty"
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            manifest = restore(file.absolute(), force=options["force"])
        except (BackupError, OSError) as error:
            raise CommandError(f"Nothing was restored: {error}") from error
        self.say(f"Restored what was backed up at {manifest.created_at}.")
        lift_statement_timeout()
        call_command("migrate", verbosity=0)
        call_command("audit", json=options["json"], stdout=self.stdout, stderr=self.stderr)

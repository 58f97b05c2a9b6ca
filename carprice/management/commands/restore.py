from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.backups import BackupError
from carprice.management.restoring import restore


class Command(BaseCommand):
    help = (
        "Restore what `backup` wrote, bring its tables up to this release, and audit it; exits "
        "with 1 if the audit finds a breach. Stop web and worker processes before."
    )

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
        self.stdout.write(f"Restored what was backed up at {manifest.created_at}.")
        lift_statement_timeout()
        call_command("migrate", verbosity=0)
        call_command("audit", stdout=self.stdout, stderr=self.stderr)

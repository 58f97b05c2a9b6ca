from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.backups import BackupError, back_up
from carprice.management.reports import ReportCommand


class Command(ReportCommand):
    help = (
        "Write the database and the models on sale into one file, beside a running service. "
        "Secrets are not in it: keep SECRET_KEY, JWT_SIGNING_KEY and .env elsewhere."
    )
    exit_statuses = "0, the file was written; 1, it was not, and one of that name is as before;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a tar; one that exists is replaced")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        lift_statement_timeout()
        try:
            manifest = back_up(file.absolute())
        except (BackupError, OSError) as error:
            raise CommandError(f"No backup was written: {error}") from error
        size = sum(member.size for member in manifest.members)
        models = len(manifest.members) - 1
        self.say(f"{file}: the database and {models} models, {size / 1e6:,.1f} MB.")
        self.say("Keep SECRET_KEY, JWT_SIGNING_KEY and .env elsewhere: none is in it.")
        self.report({"file": str(file), "bytes": size, "models": models})

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.backups import BackupError, back_up


class Command(BaseCommand):
    help = (
        "Write the database and the models on sale into one file, beside a running service. "
        "Secrets are not in it: keep SECRET_KEY, JWT_SIGNING_KEY and .env elsewhere."
    )

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
        self.stdout.write(f"{file}: the database and {models} models, {size / 1e6:,.1f} MB.")
        self.stdout.write("Keep SECRET_KEY, JWT_SIGNING_KEY and .env elsewhere: none is in it.")

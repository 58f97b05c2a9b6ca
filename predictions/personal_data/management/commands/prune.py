import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from carprice.db.snapshots import lift_statement_timeout
from predictions.personal_data.retention import prune


class Command(BaseCommand):
    help = (
        "Erase or delete what is kept no longer: what has expired, and with RETENTION_DAYS what "
        "users left behind for longer. Charges stay. Safe beside a running service."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument("--json", action="store_true", help="say it as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        lift_statement_timeout()
        pruning = prune(days=settings.RETENTION_DAYS, is_dry=options["dry_run"])
        if options["json"]:
            told = {"dry_run": pruning.is_dry, "retention_days": settings.RETENTION_DAYS}
            self.stdout.write(json.dumps({**told, "rows": pruning.rows}))
            return
        for kind, count in pruning.rows.items():
            self.stdout.write(f"{count:9,} {kind}")
        self.stdout.write("Nothing was changed." if pruning.is_dry else "Pruned.")

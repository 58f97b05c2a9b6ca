from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from carprice.db.snapshots import lift_statement_timeout
from carprice.management.reports import ReportCommand
from predictions.personal_data.retention import prune


class Command(ReportCommand):
    help = (
        "Erase or delete what is kept no longer: what has expired, and with RETENTION_DAYS what "
        "users left behind for longer. Charges stay. Safe beside a running service."
    )
    exit_statuses = "0, all that was due is gone; 1, it could not be done;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        lift_statement_timeout()
        pruning = prune(days=settings.RETENTION_DAYS, is_dry=options["dry_run"])
        for kind, count in pruning.rows.items():
            self.say(f"{count:9,} {kind}")
        self.say("Nothing was changed." if pruning.is_dry else "Pruned.")
        told = {"dry_run": pruning.is_dry, "retention_days": settings.RETENTION_DAYS}
        self.report({**told, "rows": pruning.rows})

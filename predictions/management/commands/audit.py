import sys
from typing import Any

from django.core.management.base import BaseCommand

from carprice.sql import lift_statement_timeout
from predictions.audit import breaches


class Command(BaseCommand):
    help = "Check every invariant of money and jobs; name each breach and exit with 1 if any."

    def handle(self, *args: Any, **options: Any) -> None:
        lift_statement_timeout()
        found = list(breaches())
        for breach in found:
            self.stderr.write(breach)
        self.stdout.write("No breach found." if not found else f"{len(found)} breaches found.")
        if found:
            sys.exit(1)

import sys
from typing import Any

from django.core.management.base import BaseCommand

from predictions.audit import check_and_record


class Command(BaseCommand):
    help = (
        "Check every invariant of money and predictions; name each breach and exit with 1 if any. "
        "With --verbosity 2, say how long each took."
    )

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        findings = check_and_record()
        breaches = [breach for finding in findings for breach in finding.breaches]
        for finding in findings if verbosity > 1 else []:
            self.stdout.write(f"{finding.seconds:6.2f} s  {finding.invariant}")
        for breach in breaches:
            self.stderr.write(breach)
        self.stdout.write(
            "No breach found." if not breaches else f"{len(breaches)} breaches found."
        )
        if breaches:
            sys.exit(1)

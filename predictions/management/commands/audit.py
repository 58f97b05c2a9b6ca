import sys
from typing import Any

from django.core.management.base import BaseCommand

from predictions.audit import check


class Command(BaseCommand):
    help = (
        "Check every invariant of money and jobs; name each breach and exit with 1 if any. "
        "With --verbosity 2, say how long each took."
    )

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        findings = check()
        found = [breach for finding in findings for breach in finding.breaches]
        for finding in findings if verbosity > 1 else []:
            self.stdout.write(f"{finding.seconds:6.2f} s  {finding.invariant}")
        for breach in found:
            self.stderr.write(breach)
        self.stdout.write("No breach found." if not found else f"{len(found)} breaches found.")
        if found:
            sys.exit(1)

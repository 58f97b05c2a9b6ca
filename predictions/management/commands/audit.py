import sys
from dataclasses import asdict
from typing import Any

from carprice.management.reports import ReportCommand
from predictions.audit import check_and_record


class Command(ReportCommand):
    help = (
        "Check every invariant of money and predictions, and name each breach. With --verbosity 2, "
        "say how long each took."
    )
    exit_statuses = "0, there is no breach; 1, there is one, or it could not be checked;"

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        findings = check_and_record()
        breaches = [breach for finding in findings for breach in finding.breaches]
        for finding in findings if verbosity > 1 else []:
            self.say(f"{finding.seconds:6.2f} s  {finding.invariant}")
        for breach in breaches:
            self.stderr.write(breach)
        self.say("No breach found." if not breaches else f"{len(breaches)} breaches found.")
        self.report(
            {"sound": not breaches, "invariants": [asdict(finding) for finding in findings]}
        )
        if breaches:
            sys.exit(1)

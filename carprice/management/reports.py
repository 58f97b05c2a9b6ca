"""Commands whose report a program can read as well."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

WRONG_USE = "2, it was called in a way it does not understand."


class ReportCommand(BaseCommand):
    """With --json, standard output has one JSON document; everything else goes to standard error.

    `exit_statuses` says what 0 and 1 mean, for the help.
    """

    exit_statuses: str

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        epilog = f"Exit status: {self.exit_statuses} {WRONG_USE}"
        parser = super().create_parser(prog_name, subcommand, epilog=epilog, **kwargs)
        parser.add_argument(
            "--json",
            action="store_true",
            help="report in one JSON document on standard output; all else is on standard error",
        )
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        self._as_json = bool(options["json"])
        return super().execute(*args, **options)

    def say(self, line: str) -> None:
        """Tell people how it goes."""
        if self._as_json:
            self.stderr.write(line, str)  # not in the color of errors
        else:
            self.stdout.write(line)
            self.stdout.flush()

    def report(self, document: dict[str, Any]) -> None:
        """Tell programs what came of it; nothing without --json."""
        if self._as_json:
            self.stdout.write(json.dumps(document, indent=2, allow_nan=False))

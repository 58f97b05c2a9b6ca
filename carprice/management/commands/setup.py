from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from accounts.demo import make_demo_users


class Command(BaseCommand):
    help = "Make everything ready to serve: tables, predictors, static files. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="make demo users as well")

    def handle(self, *args: Any, **options: Any) -> None:
        check_database()
        call_command("migrate", verbosity=0)
        call_command("train", missing=True, stdout=self.stdout)
        call_command("collectstatic", verbosity=0, interactive=False)
        if options["demo"]:
            make_demo_users()


def check_database() -> None:
    try:
        connection.ensure_connection()
    except OperationalError as error:
        database = settings.DATABASES["default"]
        where = database["HOST"] or database["NAME"]
        reason = str(error).strip().splitlines()[-1]
        raise CommandError(f"DATABASE_URL: cannot connect to {where}: {reason}") from None

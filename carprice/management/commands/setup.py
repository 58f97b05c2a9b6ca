from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from accounts.demo import make_demo_users
from carprice import static_files
from carprice.db.snapshots import lift_statement_timeout
from carprice.management.places import check_places, explain_disk_faults, sqlite_fault
from carprice.management.reports import ReportCommand
from carprice.management.roles import make_roles
from carprice.metrics import slots


class Command(ReportCommand):
    help = "Make everything ready to serve: tables, predictors, static files. Safe to repeat."
    exit_statuses = "0, it is ready to serve; 1, it is not, for a reason that is named;"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true", help="make demo users as well")
        parser.add_argument(
            "--first",
            action="store_true",
            help="train no more than one predictor, so that there is something to sell",
        )

    @explain_disk_faults
    def handle(self, *args: Any, **options: Any) -> None:
        check_places()
        check_database()
        lift_statement_timeout()
        call_command("migrate", verbosity=0)
        call_command(  # whose report is all there is to report
            "train",
            missing=True,
            first=options["first"],
            json=options["json"],
            stdout=self.stdout,
        )
        make_roles()
        call_command("train", missing=True, first=options["first"], stdout=self.stdout)
        static_files.collect()
        slots.remove_unused()
        if options["demo"]:
            make_demo_users()


def check_database() -> None:
    try:
        with transaction.atomic():
            connection.ensure_connection()
            if not settings.ON_POSTGRESQL:  # whose file may be another owner's
                connection.cursor().execute("CREATE TABLE write_check (id)")
            transaction.set_rollback(True)
    except DatabaseError as error:
        if not settings.ON_POSTGRESQL and (reason := sqlite_fault(error)):
            raise ImproperlyConfigured(reason) from None
        database = settings.DATABASES["default"]
        where = database["HOST"] or database["NAME"]
        reason = str(error).strip().splitlines()[0]
        raise ImproperlyConfigured(
            f"DATABASE_URL: the database at {where} cannot be used: {reason}"
        ) from None

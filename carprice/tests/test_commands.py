"""What all commands of `manage.py` that are ours say of themselves."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command, load_command_class

from carprice.management.reports import ReportCommand

APPS = ("carprice", "accounts", "billing", "mlmodels", "predictions")
FILES = sorted(
    file
    for app in APPS
    for file in (settings.BASE_DIR / app).rglob("management/commands/[a-z]*.py")
)
NO_REPORT = {"serve"}  # it runs until it is ended


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_its_help_names_its_exit_statuses_and_its_json(file: Path) -> None:
    app = ".".join(file.relative_to(settings.BASE_DIR).parts[:-3])
    command = load_command_class(app, file.stem)

    text = " ".join(command.create_parser("manage.py", file.stem).format_help().split())

    assert command.help
    assert "Exit status: 0, " in text
    assert ("--json" in text) == (file.stem not in NO_REPORT)


def test_what_is_said_goes_to_standard_error_beside_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Command(ReportCommand):
        exit_statuses = "0, always;"

        def handle(self, *args: object, **options: object) -> None:
            self.say("working")
            self.report({"done": 1})

    call_command(Command())
    plain = capsys.readouterr()
    call_command(Command(), json=True)
    as_json = capsys.readouterr()

    assert (plain.out, plain.err) == ("working\n", "")
    assert (json.loads(as_json.out), as_json.err) == ({"done": 1}, "working\n")


@pytest.mark.processes
def test_a_set_up_reports_what_is_on_sale(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "setup", "--first", "--json"],
        cwd=settings.BASE_DIR,
        env={**os.environ, "VAR_DIR": str(tmp_path), "DATABASE_URL": "", "CELERY_BROKER_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["predictors"]
    assert (row["published"], row["on_sale"]) == (True, True)
    assert f"{row['model_name']}: train; it has never been trained" in done.stderr


def test_there_are_commands() -> None:
    assert {file.stem for file in FILES} >= {"audit", "replay", "serve", "setup", "train"}
    with pytest.raises(CommandError):
        call_command("audit", "--no-such-option")

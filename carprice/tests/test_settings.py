"""Settings from the environment, in real processes: a bad one ends them with one sentence."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from django.conf import settings

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PASSWORD = "hunter2-do-not-show"
KEPT = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_CONFIG")
CLEAN = {"DJANGO_SETTINGS_MODULE": "carprice.settings"} | {
    name: os.environ[name] for name in KEPT if name in os.environ
}
READ = "from django.conf import settings; print(settings.JWT_SIGNING_KEY)"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Python in an environment of its own."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env={**CLEAN, "VAR_DIR": str(tmp_path / "var"), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def manage(run: Run) -> Run:
    """Run a management command."""
    return partial(run, "manage.py")


@pytest.fixture
def read_settings(run: Run) -> Run:
    """Run what does no more than to read the settings, in a fifth of the time."""
    return partial(run, "-c", READ)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def secrets(var: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (var / "secrets").iterdir()}


def assert_one_sentence(ended: "subprocess.CompletedProcess[str]", name: str) -> str:
    """It ended badly, with one line that names the setting; returns that line."""
    output = (ended.stdout + ended.stderr).strip()
    assert ended.returncode != 0
    assert "Traceback" not in output
    assert PASSWORD not in output
    assert len(output.splitlines()) == 1, output
    assert name in output
    return output


# --- Malformed values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"),
        ("PORT", "0"),
        ("BIND_HOST", "0.0.0.0:8000"),
        ("BIND_HOST", "http://localhost"),
        ("BIND_HOST", "::g"),
        ("ALLOWED_HOSTS", "http://shop.example"),
        ("ALLOWED_HOSTS", "localhost,shop.example:8000"),
        ("WORKER_CONCURRENCY", "0"),
        ("WEB_PROCESSES", "0"),
        ("WEB_THREADS", "many"),
        ("HTTPS", "perhaps"),
        ("LEASE_SECONDS", "nan"),
        ("THROTTLE_SIGN_UP", "300"),
        ("THROTTLE_TOP_UP", "5/fortnight"),
        ("THROTTLE_STORAGE_URL", "ftp://x"),
        ("LOG_LEVEL", "loud"),
        ("SECRET_KEY", "short"),
        ("EMAIL_URL", f"http://u:{PASSWORD}@localhost"),
        ("EMAIL_URL", f"smtp://u:{PASSWORD}@localhost:abc"),
        ("EMAIL_URL", "smtp+tls://"),
        ("DEFAULT_FROM_EMAIL", "Carprice"),
        ("SITE_URL", "carprice.example"),
        ("SITE_URL", "https://carprice.example/shop"),
        ("VERIFY_EMAIL", "maybe"),
        ("STAFF_TOTP", "maybe"),
        ("CELERY_BROKER_URL", "ftp://x"),
        ("CELERY_BROKER_URL", "localhost:6379"),
        ("CELERY_BROKER_URL", f"redis://:{PASSWORD}@localhost:abc/0"),
        ("DATABASE_URL", f"mysql://carprice:{PASSWORD}@localhost/carprice"),
        ("DATABASE_URL", f"postgresql://carprice:{PASSWORD}@localhost:abc/carprice"),
        ("DATABASE_URL", f"postgresql://carprice:{PASSWORD}@localhost/"),
        ("DATABASE_URL", "carprice.sqlite3"),
    ],
)
def test_a_malformed_setting_ends_with_one_sentence_that_names_it(
    manage: Run, name: str, value: str
) -> None:
    ended = manage("check", **{name: value})

    assert_one_sentence(ended, name)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "abc"), ("HTTPS", "perhaps"), ("THROTTLE_SIGN_UP", "300")]
)
def test_the_sentence_says_what_was_read_and_what_is_allowed(
    manage: Run, name: str, value: str
) -> None:
    sentence = assert_one_sentence(manage("check", **{name: value}), name)

    assert f"{name} must be " in sentence
    assert f"'{value}'" in sentence


@pytest.mark.parametrize("broker", ["redis://localhost", "rediss://h:1/2", "amqp://h//", ""])
def test_every_broker_that_is_offered_is_accepted(read_settings: Run, broker: str) -> None:
    ended = read_settings(CELERY_BROKER_URL=broker)

    assert ended.returncode == 0, ended.stderr


def test_where_any_host_is_answered_mails_need_a_site_to_lead_to(manage: Run) -> None:
    mails = {"EMAIL_URL": "smtp+tls://u:p%40@localhost:587", "ALLOWED_HOSTS": "*"}

    without = manage("check", **mails)
    with_site = manage("check", **mails, SITE_URL="https://carprice.example")

    assert "SITE_URL must be set" in assert_one_sentence(without, "SITE_URL")
    assert with_site.returncode == 0, with_site.stderr


def test_an_empty_setting_counts_as_unset(manage: Run) -> None:
    names = [
        "PORT",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "BIND_HOST",
        "HTTPS",
        "DEBUG",
        "ADMIN_PATH",
        "DATABASE_URL",
        "CELERY_BROKER_URL",
        "WORKER_CONCURRENCY",
        "THROTTLE_SIGN_UP",
        "LOG_LEVEL",
    ]

    ended = manage("check", "--fail-level", "WARNING", **dict.fromkeys(names, ""))

    assert ended.returncode == 0, ended.stderr


def test_an_empty_admin_path_leaves_the_admin_where_it_is(manage: Run) -> None:
    program = "from django.urls import reverse; print(reverse('admin:index'))"

    ended = manage("shell", "--no-imports", "-v", "0", "-c", program, ADMIN_PATH="")

    assert ended.stdout.strip() == "/admin/"


# --- Places that cannot be used ------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "setup", "serve"])
def test_a_var_dir_that_cannot_be_written_is_named(
    manage: Run, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()

    ended = manage(command, VAR_DIR=str(tmp_path / "file" / "var"))

    sentence = assert_one_sentence(ended, "VAR_DIR")
    assert str(tmp_path / "file" / "var") in sentence


def test_a_var_dir_that_is_a_file_is_named(manage: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = manage("check", VAR_DIR=str(tmp_path / "file"))

    assert_one_sentence(ended, "VAR_DIR")


@pytest.mark.parametrize("command", ["setup", "serve"])
def test_a_database_that_does_not_answer_is_named_without_its_password(
    manage: Run, closed_port: int, command: str
) -> None:
    url = f"postgresql://carprice:{PASSWORD}@127.0.0.1:{closed_port}/carprice"

    ended = manage(command, DATABASE_URL=url, PORT=str(closed_port))

    sentence = assert_one_sentence(ended, "DATABASE_URL")
    assert "127.0.0.1" in sentence
    assert "refused" in sentence


def test_a_database_whose_host_does_not_exist_is_named(manage: Run) -> None:
    url = f"postgresql://carprice:{PASSWORD}@no-such-host.invalid/carprice"

    ended = manage("setup", DATABASE_URL=url)

    assert_one_sentence(ended, "DATABASE_URL")


def test_a_database_file_that_cannot_be_opened_is_named(manage: Run, tmp_path: Path) -> None:
    ended = manage("setup", DATABASE_URL=f"sqlite:///{tmp_path}/no/such/directory/db.sqlite3")

    assert_one_sentence(ended, "DATABASE_URL")


@pytest.mark.postgresql
def test_a_refused_password_is_named_but_not_shown(manage: Run) -> None:
    database = settings.DATABASES["default"]
    place = f"{database['HOST']}:{database['PORT'] or 5432}"
    url = f"postgresql://no_such_user:{PASSWORD}@{place}/{database['NAME']}"

    ended = manage("setup", DATABASE_URL=url)

    assert_one_sentence(ended, "DATABASE_URL")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "2001:db8::7"])
def test_an_address_of_another_machine_is_named(manage: Run, host: str, tmp_path: Path) -> None:
    ended = manage("serve", BIND_HOST=host)

    assert f"BIND_HOST {host} is " in assert_one_sentence(ended, "BIND_HOST")
    assert not (tmp_path / "var" / "carprice.sqlite3").exists()


@pytest.mark.parametrize(
    ("host", "bind"),
    [
        ("", "127.0.0.1:8000"),
        ("0.0.0.0", "0.0.0.0:8000"),
        ("::", "[::]:8000"),
        ("[::1]", "[::1]:8000"),
        ("localhost", "localhost:8000"),
    ],
)
def test_the_web_process_listens_where_it_is_told(run: Run, host: str, bind: str) -> None:
    ended = run("-c", "from carprice import gunicorn; print(gunicorn.bind)", BIND_HOST=host)

    assert ended.stdout.strip() == bind


def test_a_taken_port_is_named_before_anything_is_set_up(
    manage: Run, taken_port: int, tmp_path: Path
) -> None:
    ended = manage("serve", PORT=str(taken_port))

    sentence = assert_one_sentence(ended, "PORT")
    assert str(taken_port) in sentence
    assert not (tmp_path / "var" / "carprice.sqlite3").exists()


# --- Security ------------------------------------------------------------------------------------


def test_with_https_the_deployment_check_finds_nothing(manage: Run) -> None:
    ended = manage("check", "--deploy", "--fail-level", "WARNING", HTTPS="true", TOP_UPS="open")

    assert ended.returncode == 0, ended.stderr
    assert "no issues (0 silenced)" in ended.stdout


def test_debugging_is_off_unless_asked_for(manage: Run) -> None:
    ended = manage("diffsettings", "--all")

    assert "DEBUG = False" in ended.stdout


@pytest.mark.parametrize("name", ["secret_key", "jwt_signing_key"])
def test_a_secret_is_made_for_its_owner_alone(
    read_settings: Run, tmp_path: Path, name: str
) -> None:
    read_settings()

    path = tmp_path / "var" / "secrets" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(path.read_text()) >= 50


def test_secrets_are_made_once_and_kept(read_settings: Run, tmp_path: Path) -> None:
    read_settings()
    first = secrets(tmp_path / "var")

    read_settings()

    assert secrets(tmp_path / "var") == first


def test_every_secret_of_every_installation_is_another(read_settings: Run, tmp_path: Path) -> None:
    read_settings()
    read_settings(VAR_DIR=str(tmp_path / "other"))

    values = [*secrets(tmp_path / "var").values(), *secrets(tmp_path / "other").values()]
    assert len(set(values)) == len(values) == 4


def test_processes_that_start_together_agree_on_the_secrets(
    read_settings: Run, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: read_settings(), range(4)))

    keys = {process.stdout.strip() for process in ended}
    assert keys == {secrets(tmp_path / "var")["jwt_signing_key"]}


def test_a_secret_from_the_environment_is_written_nowhere(
    read_settings: Run, tmp_path: Path
) -> None:
    read_settings(SECRET_KEY="k" * 64)

    assert "secret_key" not in secrets(tmp_path / "var")

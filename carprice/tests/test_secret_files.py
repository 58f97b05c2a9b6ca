"""Settings that a file holds, as orchestrators hand secrets to a process."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from carprice import env

SECRET = "s" * 40


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "THROTTLE_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["SECRET_KEY", "JWT_SIGNING_KEY"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file_and_kept_nowhere(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path, tmp_path: Path, name: str, end: str
) -> None:
    secret_file.write_bytes(f"{SECRET}{end}".encode())
    monkeypatch.setenv(f"{name}_FILE", str(secret_file))

    value = env.secret(name, tmp_path / "secrets")

    assert value == SECRET
    assert not (tmp_path / "secrets").exists()


def test_only_one_newline_is_no_part_of_a_value(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    secret_file.write_text(" a \n\n")
    monkeypatch.setenv("SOME_PASSWORD_FILE", str(secret_file))

    assert env.given("SOME_PASSWORD") == " a \n"


def test_any_setting_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, secret_file: Path) -> None:
    secret_file.write_text("70\n")
    monkeypatch.setenv("SOME_LIMIT_FILE", str(secret_file))

    assert env.integer("SOME_LIMIT", 5, low=1, high=100) == 70


def test_a_value_and_a_file_for_it_are_refused(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY", SECRET)
    monkeypatch.setenv("SECRET_KEY_FILE", str(secret_file))

    with pytest.raises(ImproperlyConfigured, match=r"^SECRET_KEY and SECRET_KEY_FILE are both"):
        env.secret("SECRET_KEY", tmp_path)


def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path, reason in [(tmp_path / "none", "No such file"), (tmp_path, "Is a directory")]:
        monkeypatch.setenv("SECRET_KEY_FILE", str(path))

        with pytest.raises(ImproperlyConfigured, match=rf"^SECRET_KEY_FILE: {path} .*{reason}"):
            env.secret("SECRET_KEY", tmp_path)


@pytest.mark.parametrize(("content", "reason"), [(b"\xff\xfe", "not UTF-8"), (b"\n", "is empty")])
def test_a_file_that_holds_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path, content: bytes, reason: str
) -> None:
    secret_file.write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret_file))

    with pytest.raises(ImproperlyConfigured, match=rf"^DATABASE_URL_FILE: .*{reason}"):
        env.database("DATABASE_URL", Path("unused"))


def test_what_a_file_holds_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path
) -> None:
    monkeypatch.setenv("THROTTLE_STORAGE_URL_FILE", str(secret_file))

    with pytest.raises(ImproperlyConfigured, match=r"^THROTTLE_STORAGE_URL must be") as refusal:
        env.throttle_storage("THROTTLE_STORAGE_URL", "")

    assert SECRET not in str(refusal.value)


# --- Passwords beside their URLs -----------------------------------------------------------------

ANY_CHARACTERS = "a@b:c/d?e#f%41 g+h'é\"$i"


def test_a_database_password_may_have_any_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://carprice@postgres:5432/carprice")
    monkeypatch.setenv("DATABASE_PASSWORD", ANY_CHARACTERS)

    config = env.database("DATABASE_URL", Path("unused"))

    assert config["PASSWORD"] == ANY_CHARACTERS
    assert (config["USER"], config["HOST"], config["NAME"]) == ("carprice", "postgres", "carprice")


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("redis://redis:6379/0", "redis://:p%40w@redis:6379/0"),
        ("redis://cache@redis", "redis://cache:p%40w@redis"),
        ("amqp://carprice@rabbitmq:5672//", "amqp://carprice:p%40w@rabbitmq:5672//"),
    ],
)
def test_a_broker_password_is_put_into_its_url(
    monkeypatch: pytest.MonkeyPatch, secret_file: Path, url: str, whole: str
) -> None:
    secret_file.write_text("p@w\n")
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setenv("CELERY_BROKER_PASSWORD_FILE", str(secret_file))

    assert env.broker("CELERY_BROKER_URL") == whole


def test_the_password_of_the_throttles_is_not_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROTTLE_STORAGE_URL", "redis://redis:6379/1")
    monkeypatch.setenv("THROTTLE_STORAGE_PASSWORD", "pw")

    assert env.throttle_storage("THROTTLE_STORAGE_URL", "") == "redis://:pw@redis:6379/1"


def test_two_passwords_for_one_server_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://carprice:hunter2@postgres/carprice")
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)

    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_PASSWORD is given, and") as refusal:
        env.database("DATABASE_URL", Path("unused"))

    assert "hunter2" not in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("url", ["", "sqlite:////a/file.sqlite3"])
def test_a_password_for_no_server_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_PASSWORD", SECRET)

    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL names no server"):
        env.database("DATABASE_URL", Path("unused"))


def test_celery_is_given_the_password_too(tmp_path: Path) -> None:
    """It reads CELERY_BROKER_URL from the environment itself, where the URL has none."""
    program = (
        "from carprice.celery import app;"
        "print(app.connection_for_read().password, app.connection_for_write().password)"
    )
    environment = {
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "CELERY_BROKER_PASSWORD": ANY_CHARACTERS,
        "VAR_DIR": str(tmp_path),
        "PYTHONUTF8": "1",
    }

    printed = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.BASE_DIR,
        env=environment,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout

    assert printed.strip() == f"{ANY_CHARACTERS} {ANY_CHARACTERS}"

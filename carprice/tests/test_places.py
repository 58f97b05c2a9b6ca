"""Where the service may stand: in folders of any name, and on disks that are full or foreign."""

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from carprice import env
from carprice.management import places

ODD = "100% a %41 #1 'q' \"d\" $HOME `x` ;x &y +z é日本 (1) [2] {3} \\ ~ ?"
UNABLE = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EROFS: "on a disk that is not read-only",
    errno.EACCES: "make it yours",
    errno.EPERM: "make it yours",
    errno.EIO: "set VAR_DIR to a directory of yours",
}
# Root may write anywhere, unless it gives that up.
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if not os.geteuid() else []
MOUNTING = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]


def manage(
    *arguments: str, prefix: list[str] | None = None, **environment: str
) -> "subprocess.CompletedProcess[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [*(prefix or []), sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_sentence(ended: "subprocess.CompletedProcess[str]") -> str:
    output = (ended.stdout + ended.stderr).strip()
    assert ended.returncode != 0
    assert len(output.splitlines()) == 1, output
    assert output.startswith("carprice: ")
    return output


def mount(what: str) -> list[str]:
    """What runs a program with a disk of its own in place, which ends with the program."""
    prefix = [*MOUNTING, "sh", "-c", f'{what} && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a disk")
    return prefix


# --- Names of folders ----------------------------------------------------------------------------


def test_a_var_dir_may_be_called_anything(tmp_path: Path) -> None:
    var = tmp_path / ODD

    ended = manage("migrate", "--verbosity=0", VAR_DIR=str(var))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [ODD]
    with closing(sqlite3.connect(var / "carprice.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM accounts_user").fetchone() == (0,)


def test_make_works_in_a_folder_of_any_name(tmp_path: Path) -> None:
    """With a program of its own in the place of ours, which would take minutes."""
    folder = tmp_path / ODD
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(settings.BASE_DIR / "Makefile", folder)
    (folder / "manage.py").write_text("import os, sys; print(sys.argv, os.getcwd())")
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    for name in ("requirements.lock", ".venv/run.stamp"):
        (folder / name).touch()

    # `make test` tells those that it starts that they are a part of it.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(
        ["make", "run"], cwd=folder, env=alone, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert ended.stdout == f"['manage.py', 'serve'] {folder}\n"
    assert ended.returncode == 0


def test_make_starts_no_script_whose_first_line_names_a_path() -> None:
    makefile = (settings.BASE_DIR / "Makefile").read_text()

    started = set(re.findall(r"\$\(BIN\)/([\w-]+)", makefile))

    assert started == {"python", "shellcheck"}  # the second is no script


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (f"sqlite:///{quote('/a ' + ODD)}", f"/a {ODD}"),
        ("sqlite:////a b/#1/c+d.sqlite3", "/a b/#1/c+d.sqlite3"),
        ("sqlite:////100%/é.sqlite3", "/100%/é.sqlite3"),
        ("sqlite:///a.sqlite3?mode=rw", "a.sqlite3"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite://:memory:", ":memory:"),
    ],
)
def test_the_url_of_a_file_may_hold_any_character(
    monkeypatch: pytest.MonkeyPatch, url: str, path: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)

    assert env.database("DATABASE_URL", Path("/unused"))["NAME"] == path


def test_a_path_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAR_DIR", os.fsdecode(bytes(tmp_path) + b"/caf\xe9"))

    with pytest.raises(ImproperlyConfigured, match=r"VAR_DIR .* UTF-8, not b'.*caf\\xe9'"):
        env.writable_directory("VAR_DIR", tmp_path)


def test_an_env_file_sets_what_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PORT", "8001")
    monkeypatch.delenv("VAR_DIR", raising=False)
    file = tmp_path / ".env"
    file.write_bytes('\ufeffVAR_DIR="/a b/#1/100%/é"\r\nPORT=8002\r\n'.encode())

    env.read_file(file)

    assert (os.environ["VAR_DIR"], os.environ["PORT"]) == ("/a b/#1/100%/é", "8001")


@pytest.mark.parametrize("content", [b"NAME=caf\xe9", None], ids=["no text", "a directory"])
def test_an_env_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / ".env"
    file.write_bytes(content) if content else file.mkdir()

    with pytest.raises(ImproperlyConfigured, match=re.escape(str(file))):
        env.read_file(file)


def test_no_env_file_is_needed(tmp_path: Path) -> None:
    env.read_file(tmp_path / ".env")


# --- Disks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", UNABLE)
def test_a_directory_that_takes_nothing_is_named_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    def fail(**_: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    monkeypatch.delenv("VAR_DIR")
    monkeypatch.setattr(tempfile, "TemporaryFile", fail)

    with pytest.raises(ImproperlyConfigured) as refused:
        env.writable_directory("VAR_DIR", tmp_path)

    sentence = str(refused.value)
    assert str(tmp_path) in sentence
    assert os.strerror(number) in sentence
    assert UNABLE[number] in sentence


KEYS = {"SECRET_KEY": "k" * 64, "JWT_SIGNING_KEY": "j" * 64}


def full_disk(place: Path) -> list[str]:
    fill = f"{{ yes 2>/dev/null >'{place}/x' || true; }}"
    return mount(f"mount -t tmpfs -o size=64k none '{place}' && {fill}")


@pytest.mark.parametrize("command", ["setup", "serve"])
def test_a_full_disk_is_named_before_anything_is_set_up(tmp_path: Path, command: str) -> None:
    prefix = full_disk(tmp_path)

    ended = manage(command, prefix=prefix, VAR_DIR=str(tmp_path), PORT="54321", **KEYS)

    assert one_sentence(ended) == (
        f"carprice: VAR_DIR: {tmp_path} cannot be written to (No space left on device): free some "
        "space there, or set VAR_DIR to a directory on another disk."
    )


def test_a_secret_that_a_full_disk_does_not_take_is_named(tmp_path: Path) -> None:
    sentence = one_sentence(manage("check", prefix=full_disk(tmp_path), VAR_DIR=str(tmp_path)))

    assert f"SECRET_KEY cannot be kept in {tmp_path}/secrets/secret_key (No space" in sentence


def test_a_full_disk_ends_no_process_that_has_its_keys(tmp_path: Path) -> None:
    ended = manage("check", prefix=full_disk(tmp_path), VAR_DIR=str(tmp_path), **KEYS)

    assert ended.returncode == 0


@pytest.mark.parametrize("command", ["setup", "serve"])
def test_a_small_disk_is_named_before_anything_is_set_up(tmp_path: Path, command: str) -> None:
    prefix = mount(f"mount -t tmpfs -o size=8m none '{tmp_path}'")

    sentence = one_sentence(manage(command, prefix=prefix, VAR_DIR=str(tmp_path), PORT="54321"))

    assert f"VAR_DIR: the disk of {tmp_path} has 8 MB free, and 64 MB are needed" in sentence


def test_a_read_only_disk_is_named(tmp_path: Path) -> None:
    prefix = mount(f"mount -t tmpfs -o ro none '{tmp_path}'")

    sentence = one_sentence(manage("serve", prefix=prefix, VAR_DIR=str(tmp_path)))

    assert str(tmp_path) in sentence
    assert "Read-only file system" in sentence


def test_little_space_is_enough_where_all_has_been_set_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "STATIC_ROOT", tmp_path / "static")
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ImproperlyConfigured, match="20 MB free, and 64 MB are needed"):
        places.check_places()

    (tmp_path / "static").mkdir()

    places.check_places()


@pytest.mark.parametrize("name", ["", "models", "static", "static/admin", "broker", "run"])
def test_a_directory_of_another_owner_is_named(tmp_path: Path, name: str) -> None:
    manage("check", VAR_DIR=str(tmp_path))
    locked = tmp_path / name
    locked.mkdir(parents=True, exist_ok=True)
    locked.chmod(0o500)

    sentence = one_sentence(manage("setup", prefix=AS_USER, VAR_DIR=str(tmp_path)))

    locked.chmod(0o700)
    assert "VAR_DIR" in sentence
    assert f"{locked} " in sentence
    assert "(Permission denied): make it yours" in sentence


def test_a_database_file_of_another_owner_is_named(tmp_path: Path) -> None:
    file = tmp_path / "carprice.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE a (b)")
    file.chmod(0o400)

    sentence = one_sentence(manage("setup", prefix=AS_USER, VAR_DIR=str(tmp_path)))

    assert f"VAR_DIR: the database {file} cannot be written to" in sentence


def test_secrets_of_another_owner_are_named(tmp_path: Path) -> None:
    manage("check", VAR_DIR=str(tmp_path))
    (tmp_path / "secrets").chmod(0)

    sentence = one_sentence(manage("check", prefix=AS_USER, VAR_DIR=str(tmp_path)))

    (tmp_path / "secrets").chmod(0o700)
    assert f"SECRET_KEY cannot be kept in {tmp_path / 'secrets' / 'secret_key'}" in sentence


def test_a_secret_that_a_crash_left_empty_is_named(tmp_path: Path) -> None:
    manage("check", VAR_DIR=str(tmp_path))
    (tmp_path / "secrets" / "jwt_signing_key").write_text("")

    sentence = one_sentence(manage("check", VAR_DIR=str(tmp_path)))

    assert "JWT_SIGNING_KEY must have at least 32 characters" in sentence
    assert f"{tmp_path / 'secrets' / 'jwt_signing_key'} does not: delete the file" in sentence


# --- Disks that fill up on the way ---------------------------------------------------------------


def test_a_disk_that_fills_up_during_the_set_up_is_named(tmp_path: Path) -> None:
    @places.explain_disk_faults
    def work() -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "model"))

    with pytest.raises(ImproperlyConfigured, match=re.escape(f"{tmp_path}/model cannot be")):
        work()


def test_a_database_that_fills_its_disk_is_named() -> None:
    @places.explain_disk_faults
    def work() -> NoReturn:
        raise OperationalError("database or disk is full")

    if settings.ON_POSTGRESQL:
        pytest.skip("SQLite's own words")
    with pytest.raises(ImproperlyConfigured, match="is full: free some space"):
        work()


@pytest.mark.parametrize(
    "error",
    [ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OperationalError("no such table")],
)
def test_an_error_of_something_else_stays_what_it_is(error: Exception) -> None:
    @places.explain_disk_faults
    def work() -> NoReturn:
        raise error

    with pytest.raises(type(error)):
        work()

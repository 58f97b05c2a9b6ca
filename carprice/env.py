"""Reading the environment: every value is checked, and a bad one is named in one sentence."""

import os
import re
import secrets
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}
DATABASE_ENGINES = {
    "postgres": "django.db.backends.postgresql",
    "postgresql": "django.db.backends.postgresql",
    "sqlite": "django.db.backends.sqlite3",
}
BROKER_KINDS = {
    "": "embedded",
    "redis": "redis",
    "rediss": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
}


def read(name: str, default: T, cast: Callable[[str], T], allowed: str) -> T:
    """The environment's value of `name`; `allowed` completes "NAME must be ..." when it is bad."""
    value = os.environ.get(name)
    if value is None or (value == "" and cast is not boolean):
        return default
    try:
        return cast(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be {allowed}, not {value!r}.") from error


def boolean(value: str) -> bool:
    if value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ValueError(value)


def flag(name: str, *, default: bool) -> bool:
    return read(name, default, boolean, "true or false")


def integer(name: str, default: int, *, low: int, high: int) -> int:
    def cast(value: str) -> int:
        if low <= int(value) <= high:
            return int(value)
        raise ValueError(value)

    return read(name, default, cast, f"a whole number from {low} to {high}")


def seconds(name: str, default: float, *, low: float) -> float:
    def cast(value: str) -> float:
        if low <= float(value) < 1e6:
            return float(value)
        raise ValueError(value)

    return read(name, default, cast, f"a number of seconds, at least {low:g}")


def words(name: str, default: list[str]) -> list[str]:
    return read(
        name,
        default,
        lambda value: [word.strip() for word in value.split(",") if word.strip()],
        "a comma-separated list",
    )


def one_of(name: str, default: str, allowed: Collection[str]) -> str:
    def cast(value: str) -> str:
        if value.upper() in allowed:
            return value.upper()
        raise ValueError(value)

    return read(name, default, cast, f"one of {', '.join(allowed)}")


def url_path(name: str, default: str) -> str:
    """A path below the site's root, without slashes around it."""

    def cast(value: str) -> str:
        if re.fullmatch(r"[\w-]+(/[\w-]+)*", value.strip("/"), re.ASCII):
            return value.strip("/")
        raise ValueError(value)

    return read(name, default, cast, 'a path such as "back/office"')


def throttle_storage(name: str, default: str) -> str:
    def cast(value: str) -> str:
        if value.partition("://")[0] in {"redis", "rediss", "memory"}:
            return value
        raise ValueError(value)

    return read(name, default, cast, "a redis:// URL or memory://")


def rate(name: str, default: str) -> str:
    """A throttle such as "300/minute"."""

    def cast(value: str) -> str:
        count, _, period = value.partition("/")
        if int(count) > 0 and period in {"second", "minute", "hour", "day"}:
            return value
        raise ValueError(value)

    return read(name, default, cast, 'a rate such as "300/minute"')


def writable_directory(name: str, default: Path) -> Path:
    path = Path(os.environ.get(name) or default).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} must be a directory that can be written to; {path}: {error.strerror}."
        ) from error


def secret(name: str, directory: Path, *, characters: int = 64) -> str:
    """`name` from the environment, else a random one, made once and kept in `directory`."""
    value = os.environ.get(name)
    if value:
        if len(value) < characters // 2:
            raise ImproperlyConfigured(f"{name} must have at least {characters // 2} characters.")
        return value
    path = directory / name.lower()
    if not path.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        _create_once(path, secrets.token_urlsafe(characters)[:characters])
    return path.read_text()


def _create_once(path: Path, text: str) -> None:
    """Write a private file whole or not at all; the first of several processes wins."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        Path(temporary).unlink()


def database(name: str, default: Path) -> dict[str, Any]:
    """Django's settings for the database at the URL `name`, or for SQLite in the file `default`."""
    url = os.environ.get(name) or f"sqlite:///{default}"
    scheme = url.partition(":")[0]
    # The URL itself may hold a password, so it is never quoted.
    if scheme not in DATABASE_ENGINES:
        raise ImproperlyConfigured(
            f"{name} must start with postgresql:// or sqlite:///, not {scheme!r}."
        )
    try:
        config: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a database URL.") from error
    if not config["NAME"]:
        raise ImproperlyConfigured(f"{name} names no database after the last slash.")
    # A socket's directory as the host is written with %2F.
    return {**config, "ENGINE": DATABASE_ENGINES[scheme], "HOST": unquote(config["HOST"])}


def broker(name: str) -> str:
    """The broker's URL, or "" for the embedded one."""
    url = os.environ.get(name, "")
    scheme = url.partition(":")[0]
    if scheme not in BROKER_KINDS or (url and not scheme):
        raise ImproperlyConfigured(f"{name} must start with redis:// or amqp://, not {scheme!r}.")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it is the check
        if BROKER_KINDS[scheme] == "redis" and parts.path.strip("/"):
            int(parts.path.strip("/"))
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a broker URL: {error}.") from error
    return url

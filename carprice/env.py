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

BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
DATABASE_SCHEMES = {"postgres", "postgresql", "sqlite"}
BROKER_KINDS = {
    "": "embedded",
    "redis": "redis",
    "rediss": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
}


# --- Plain values --------------------------------------------------------------------------------


def read(
    name: str,
    default: T,
    convert: Callable[[str], T],
    allowed: str,
    is_allowed: Callable[[T], bool] = lambda _: True,
) -> T:
    """The environment's value of `name`, converted; `default` if it is unset or empty.

    `allowed` completes "NAME must be ..." for a value that does not convert or is not allowed.
    """
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = convert(text)
    except (ValueError, KeyError):
        pass
    else:
        if is_allowed(value):
            return value
    raise ImproperlyConfigured(f"{name} must be {allowed}, not {text!r}.")


def flag(name: str, *, default: bool) -> bool:
    return read(name, default, lambda text: BOOLEANS[text.lower()], "true or false")


def integer(name: str, default: int, *, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    return read(name, default, int, allowed, lambda number: low <= number <= high)


def seconds(name: str, default: float, *, low: float) -> float:
    allowed = f"a number of seconds, at least {low:g}"
    return read(name, default, float, allowed, lambda number: low <= number < 1e6)


def words(name: str, default: list[str]) -> list[str]:
    def split(text: str) -> list[str]:
        return [word.strip() for word in text.split(",") if word.strip()]

    return read(name, default, split, "a comma-separated list")


def one_of(name: str, default: str, choices: Collection[str]) -> str:
    allowed = f"one of {', '.join(choices)}"
    return read(name, default, str.upper, allowed, lambda word: word in choices)


def matching(name: str, default: str, pattern: str, allowed: str) -> str:
    """A text that a regular expression matches as a whole."""
    whole = re.compile(pattern, re.ASCII)
    return read(name, default, str, allowed, lambda text: bool(whole.fullmatch(text)))


def url_path(name: str, default: str) -> str:
    """A path below the site's root, without slashes around it."""
    pattern = r"/*[\w-]+(/[\w-]+)*/*"
    return matching(name, default, pattern, 'a path such as "back/office"').strip("/")


def throttle_storage(name: str, default: str) -> str:
    return matching(name, default, "(redis|rediss|memory)://.*", "a redis:// URL or memory://")


def rate(name: str, default: str) -> str:
    """A throttle such as "300/minute"."""
    pattern = r"0*[1-9]\d*/(second|minute|hour|day)"
    return matching(name, default, pattern, 'a rate such as "300/minute"')


# --- Places and credentials ----------------------------------------------------------------------


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
    # The URL may hold a password, so no message repeats it.
    if scheme not in DATABASE_SCHEMES:
        raise ImproperlyConfigured(
            f"{name} must start with postgresql:// or sqlite:///, not {scheme!r}."
        )
    try:
        config: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not a database URL.") from error
    if not config["NAME"]:
        raise ImproperlyConfigured(f"{name} names no database after the last slash.")
    # The directory of a socket is a host written with %2F, which django-environ leaves as it is.
    return {**config, "HOST": unquote(config["HOST"])}


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

"""Reading the environment: every value is checked, and a bad one is named in one sentence."""

import errno
import io
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")

BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
DATABASE_SCHEMES = {"postgres", "postgresql", "sqlite"}
MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 587, "smtp+ssl": 465}
MAIL_SCHEMES = {*MAIL_PORTS, "consolemail", "filemail"}
BROKER_KINDS = {
    "": "embedded",
    "redis": "redis",
    "rediss": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
}


def read_file(path: Path) -> None:
    """Add what an env file sets to the environment, which wins over it. The file may be absent."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {_reason(error)}.") from error
    environ.Env.read_env(io.StringIO(text))


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"


def given(name: str) -> str:
    """The environment's value of `name`, or what the file at NAME_FILE holds; "" if it has neither.

    The file may end with a newline, which is no part of the value.
    """
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if not path:
        return value
    if value:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both given: leave one of them out.")
    try:
        content = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}_FILE: {path} cannot be read: {_reason(error)}."
        ) from error
    if not content:
        raise ImproperlyConfigured(f"{name}_FILE: {path} is empty.")
    return content


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
    text = given(name)
    if not text:
        return default
    try:
        value = convert(text)
    except (ValueError, KeyError):
        pass
    else:
        if is_allowed(value):
            return value
    # What a file holds is a secret, so the message does not repeat it.
    shown = f"not {text!r}" if os.environ.get(name) else f"which {name}_FILE does not hold"
    raise ImproperlyConfigured(f"{name} must be {allowed}, {shown}.")


def flag(name: str, *, default: bool) -> bool:
    return read(name, default, lambda text: BOOLEANS[text.lower()], "true or false")


def integer(name: str, default: int, *, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    return read(name, default, int, allowed, lambda number: low <= number <= high)


def seconds(name: str, default: float, *, low: float) -> float:
    allowed = f"a number of seconds, at least {low:g}"
    return read(name, default, float, allowed, lambda number: low <= number < 1e6)


def words(name: str, default: list[str]) -> list[str]:
    return read(name, default, _split, "a comma-separated list")


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def hosts(name: str, default: list[str]) -> list[str]:
    """Host names as requests have them, `.example.com` for all below, or `*` for any."""
    host = re.compile(r"\*|\.?[\w-][\w.-]*|\[[0-9A-Fa-f:.]+\]", re.ASCII)
    allowed = "a comma-separated list of host names, without http:// and port"
    return read(name, default, _split, allowed, lambda names: all(map(host.fullmatch, names)))


def networks(name: str, default: list[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Addresses, or networks such as 10.0.0.0/8."""
    allowed = "a comma-separated list of addresses or networks such as 10.0.0.0/8"
    return read(name, _networks(default), lambda text: _networks(_split(text)), allowed)


def _networks(words: list[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(word) for word in words]


def one_of(name: str, default: str, choices: Collection[str]) -> str:
    """One of some words, whatever its case."""
    allowed = f"one of {', '.join(choices)}"
    words_by_key = {word.lower(): word for word in choices}
    return read(name, default, lambda text: words_by_key[text.lower()], allowed)


def whole_numbers(name: str, default: list[int], *, low: int, high: int) -> list[int]:
    allowed = f"a comma-separated list of whole numbers from {low} to {high}"
    return read(
        name,
        default,
        lambda text: [int(word) for word in _split(text)],
        allowed,
        lambda numbers: bool(numbers) and all(low <= number <= high for number in numbers),
    )


def require(*names: str, why: str) -> None:
    """Refuse to go on while one of them is unset; `why` completes "NAME must be set ..."."""
    for name in names:
        if not given(name):
            raise ImproperlyConfigured(f"{name} must be set {why}.")


def credential(name: str) -> str:
    """A secret that somebody else has given, which no message repeats; empty if it is unset."""
    value = given(name)
    if not re.fullmatch("[!-~]*", value):
        raise ImproperlyConfigured(f"{name} must have no spaces and no letters beyond ASCII.")
    return value


def http_url(name: str, default: str) -> str:
    """The address of a server, without a slash at its end."""
    pattern = r"https?://[\w.-]+(:\d{1,5})?/?"
    return matching(name, default, pattern, "an http:// or https:// URL without a path").rstrip("/")


def matching(name: str, default: str, pattern: str, allowed: str) -> str:
    """A text that a regular expression matches as a whole."""
    whole = re.compile(pattern, re.ASCII)
    return read(name, default, str, allowed, lambda text: bool(whole.fullmatch(text)))


def url_path(name: str, default: str) -> str:
    """A path below the site's root, without slashes around it."""
    pattern = r"/*[\w-]+(/[\w-]+)*/*"
    return matching(name, default, pattern, 'a path such as "back/office"').strip("/")


def listen_host(name: str, default: str) -> str:
    """An address or a host name to listen at; IPv6 with or without brackets."""

    def convert(text: str) -> str:
        host = text.strip()
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if ":" in bare:
            ipaddress.IPv6Address(bare)
        elif not re.fullmatch(r"[\w.-]+", bare, re.ASCII):
            raise ValueError(bare)
        return bare

    return read(name, default, convert, "an address or a host name, without a port")


def throttle_storage(name: str, default: str) -> str:
    pattern, allowed = "(redis|rediss|memory)://.*", "a redis:// URL or memory://"
    return _with_password(name, matching(name, "", pattern, allowed)) or default


def report_url(name: str) -> str:
    """Where to send reports; "" for nowhere. It may hold a key, so no message repeats it."""
    url = given(name)
    if url and not re.fullmatch(r"https?://[^\s/]+\S*", url):
        raise ImproperlyConfigured(f"{name} must be an http:// or https:// URL.")
    return url


def rate(name: str, default: str) -> str:
    """A throttle such as "300/minute"."""
    pattern = r"0*[1-9]\d*/(second|minute|hour|day)"
    return matching(name, default, pattern, 'a rate such as "300/minute"')


# --- Places and credentials ----------------------------------------------------------------------


def origin(name: str) -> str:
    """Scheme and host of a site, perhaps with a port; empty if it is not set."""
    pattern = r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?/?"
    return matching(name, "", pattern, "such as https://example.com, without a path").rstrip("/")


def mail_sender(name: str, default: str) -> str:
    """An address, perhaps after a name."""
    pattern = r"([^<>\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+)"
    return matching(name, default, pattern, 'an address such as "Carprice <no-reply@example.com>"')


def writable_directory(name: str, default: Path) -> Path:
    path = Path(os.environ.get(name) or default).expanduser().absolute()
    try:
        str(path).encode()
    except UnicodeEncodeError as error:  # SQLite, for one, takes no such path
        raise ImproperlyConfigured(
            f"{name} must be a directory whose path is UTF-8, not {os.fsencode(path)!r}."
        ) from error
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Its disk may be full: that need not end a web process whose database is elsewhere.
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} must be a directory that can be written to, which {path} is not "
            f"({error.strerror}): {cure(name, error)}."
        ) from error


def cure(name: str, error: OSError) -> str:
    """What to do about an error of the directory that the setting `name` is about."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"free some space there, or set {name} to a directory on another disk"
    if error.errno == errno.EROFS:
        return f"set {name} to a directory on a disk that is not read-only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"make it yours with all that is in it, or set {name} to a directory of yours"
    return f"set {name} to a directory of yours"


def secret(name: str, directory: Path, *, characters: int = 64) -> str:
    """`name` from the environment, else a random one, made once and kept in `directory`."""
    value = given(name)
    if value:
        if len(value) < characters // 2:
            raise ImproperlyConfigured(f"{name} must have at least {characters // 2} characters.")
        return value
    path = directory / name.lower()
    try:
        value = _read_or_create(path, characters)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name} cannot be kept in {path} ({error.strerror}): {cure('VAR_DIR', error)}."
        ) from error
    if len(value) < characters // 2:
        raise ImproperlyConfigured(
            f"{name} must have at least {characters // 2} characters, which {path} does not: "
            "delete the file, and a new one is made."
        )
    return value


def former_secrets(name: str) -> list[str]:
    """Those that were used before, which still verify what they have signed."""
    secrets = _split(given(name))
    if any(len(each) < 32 for each in secrets):  # no message repeats them
        raise ImproperlyConfigured(
            f"{name} must be a comma-separated list of secrets, each of at least 32 characters."
        )
    return secrets


def _read_or_create(path: Path, characters: int) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, exist_ok=True)
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


def _with_password(name: str, url: str) -> str:
    """The URL with the password of the setting beside it: DATABASE_PASSWORD for DATABASE_URL.

    There it may have any characters, which a URL has percent-encoded.
    """
    password_name = name.removesuffix("_URL") + "_PASSWORD"
    password = given(password_name)
    if not password:
        return url
    scheme, _, rest = url.partition("://")
    if not rest or rest.startswith("/"):
        raise ImproperlyConfigured(f"{password_name} is given, and {name} names no server.")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if ":" in user:
        raise ImproperlyConfigured(f"{password_name} is given, and {name} has a password as well.")
    place = rest[len(user + at) :]
    return f"{scheme}://{user}:{quote(password, safe='')}@{place}"


def database(name: str, default: Path) -> dict[str, Any]:
    """Django's settings for the database at the URL `name`, or for SQLite in the file `default`."""
    url = _with_password(name, given(name))
    if not url:
        return {"ENGINE": environ.Env.DB_SCHEMES["sqlite"], "NAME": str(default), "HOST": ""}
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
    if scheme == "sqlite":
        return {**config, "NAME": _sqlite_path(url) or config["NAME"]}
    # The directory of a socket is a host written with %2F, which django-environ leaves as it is.
    return {**config, "HOST": unquote(config["HOST"])}


def _sqlite_path(url: str) -> str:
    """The path in the URL of a file, which may hold what has a meaning in other URLs: # and +."""
    path = url.partition(":///")[2].partition("?")[0]
    return unquote(path)


def broker(name: str) -> str:
    """The broker's URL, or "" for the embedded one."""
    url = _with_password(name, given(name))
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


def mail(name: str) -> dict[str, Any]:
    """Django's settings for the mail server at the URL `name`; the console if it is not set."""
    url = given(name) or "consolemail://"
    scheme = url.partition(":")[0]
    # The URL may hold a password, so no message repeats it.
    if scheme not in MAIL_SCHEMES:
        raise ImproperlyConfigured(
            f"{name} must start with one of {', '.join(sorted(MAIL_SCHEMES))} and ://, "
            f"not {scheme!r}."
        )
    try:
        config: dict[str, Any] = environ.Env.email_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is not the URL of a mail server.") from error
    if scheme.startswith("smtp") and not config["EMAIL_HOST"]:
        raise ImproperlyConfigured(f"{name} names no host.")
    ports = {"EMAIL_PORT": config["EMAIL_PORT"] or MAIL_PORTS.get(scheme, 25)}
    return {**config, **ports, "EMAIL_HOST": config["EMAIL_HOST"] or ""}

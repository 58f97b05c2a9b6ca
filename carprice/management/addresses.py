"""Where the service can be reached, and for which of these host names it answers."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host

ANY = {"0.0.0.0", "::"}  # noqa: S104  # compared with, not listened at

# Of no host anywhere. No packet is sent to them; to ask for the way to one tells the own address.
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def check_port() -> None:
    """Refuse, in one sentence, a PORT or a BIND_HOST that cannot be listened at."""
    host, port = settings.BIND_HOST, settings.PORT
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ImproperlyConfigured(f"BIND_HOST {host} is not known: {error.strerror}.") from error
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise ImproperlyConfigured(
                f"BIND_HOST {host} is no address of this machine: {error.strerror}."
            ) from error
        raise ImproperlyConfigured(
            f"PORT {port} cannot be used: {error.strerror}. "
            "Set PORT to a free one, such as `make run PORT=8001`."
        ) from error


def describe() -> str:
    """The addresses it answers to, and how it comes to answer to others."""
    hosts = list(_hosts(settings.BIND_HOST))
    answered = [host for host in hosts if validate_host(host, settings.ALLOWED_HOSTS)]
    refused = [host for host in hosts if host not in answered]
    names = ", ".join(settings.ALLOWED_HOSTS)
    where = ", ".join(_url(host) for host in answered) or f"port {settings.PORT} of {names} alone"
    text = f"Carprice answers at {where} (Ctrl-C stops it).\n"
    if refused:
        wanted = ",".join([*settings.ALLOWED_HOSTS, *refused])
        urls = ", ".join(_url(host) for host in refused)
        text += f"To have it answer at {urls} as well, set ALLOWED_HOSTS={wanted}\n"
    if _is_open() and "*" not in settings.ALLOWED_HOSTS:
        text += "Any other name of this machine must be added to ALLOWED_HOSTS before it is used.\n"
    return text


def _hosts(bound: str) -> Iterator[str]:
    """The hosts of the URLs that lead to a service that listens at this one."""
    if bound in ANY:
        yield "localhost"
        yield from _own_addresses(only_ipv4=bound != "::")
    elif bound == "127.0.0.1":
        yield "localhost"
    else:
        yield f"[{bound}]" if ":" in bound else bound.lower()


def _own_addresses(*, only_ipv4: bool) -> Iterator[str]:
    """The addresses at which other machines reach this one by default."""
    for family, elsewhere in ELSEWHERE.items():
        if only_ipv4 and family != socket.AF_INET:
            continue
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            address = str(probe.getsockname()[0])
            if not ipaddress.ip_address(address).is_link_local:
                yield f"[{address}]" if family == socket.AF_INET6 else address


def _is_open() -> bool:
    """Whether other machines can reach it."""
    return settings.BIND_HOST not in ("127.0.0.1", "::1", "localhost")


def _url(host: str) -> str:
    return f"http://{host}:{settings.PORT}"

"""Which addresses may be called: those of hosts of the public internet, and no others.

A name is resolved once, every address that it has is checked, and the connection is made to an
address that was checked. So a name that answers otherwise the second time gains nothing.
"""

import queue
import re
import socket
import threading
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings

from predictions.webhooks.models import LONGEST_URL

# Nothing that people's and libraries' readings of an address differ about: no user, no backslash,
# no blanks, no other alphabets.
_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(:(?P<port>\d{1,5}))?"
    r"(?P<target>(/[\w.~!$&'()*+,;=:@%/-]*)?(\?[\w.~!$&'()*+,;=:@%/?-]*)?)",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}

# Of IPv6 only what is handed out (2000::/3) and leads to no IPv4 address or test network. Python's
# `is_global` knows more networks of IPv4, but not the same in each release.
_GLOBAL_IPV6 = ip_network("2000::/3")
_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # of carriers
        "192.0.0.0/24",
        "192.88.99.0/24",  # to IPv6 over IPv4
        "2001::/23",  # Teredo and others
        "2001:db8::/32",
        "2002::/16",  # IPv4 addresses: 6to4
        "3fff::/20",
    )
]


class BadUrl(Exception):
    """It cannot be an endpoint's; the message says why."""


class NoPublicAddress(Exception):
    """The name has no address, or one that is not public."""


@dataclass(frozen=True)
class Target:
    """Where a request goes."""

    is_tls: bool
    host: str
    port: int
    path: str


def parse(url: str) -> Target:
    """The parts of an endpoint's address. Raises BadUrl."""
    if len(url) > LONGEST_URL:
        raise BadUrl(f"At most {LONGEST_URL} characters.")
    match = _URL.fullmatch(url)
    if match is None:
        raise BadUrl("Enter an address such as https://example.com/hook, in ASCII, without a user.")
    scheme = match["scheme"].lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if not settings.WEBHOOK_LOCAL and scheme != "https":
        raise BadUrl("The address must begin with https://.")
    if not 1 <= port <= 65535 or (port != 443 and not settings.WEBHOOK_LOCAL):
        raise BadUrl("The port must be 443.")
    target = match["target"]
    path = target if target.startswith("/") else f"/{target}"
    return Target(scheme == "https", match["host"].strip("[]"), port, path)


def resolve(target: Target, seconds: float) -> list[str]:
    """Every address of a host, each of them public. Raises NoPublicAddress or TimeoutError."""
    found = [info[4][0] for info in _look_up(target, seconds)]
    if not found or not all(settings.WEBHOOK_LOCAL or is_public(str(text)) for text in found):
        raise NoPublicAddress
    return list(dict.fromkeys(str(text) for text in found))


def is_public(text: str) -> bool:
    """Whether an address is that of a host on the internet; one with a zone is not."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id or address not in _GLOBAL_IPV6):
        return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def _look_up(target: Target, seconds: float) -> list[Any]:
    """`getaddrinfo`, which takes as long as its servers do, on a thread that nobody waits for."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=look_up, name="webhook-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise NoPublicAddress from answer
    return list(answer)

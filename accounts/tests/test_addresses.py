"""Whom a request counts for by its address."""

from typing import Any

import pytest
from django.test import RequestFactory

from carprice.http import throttling

PEER = "198.51.100.7"

# What a proxy may write, and whom it counts for.
WRITTEN = {
    "203.0.113.9": "203.0.113.9",
    " 203.0.113.9 ": "203.0.113.9",
    "203.0.113.9:5678": "203.0.113.9",
    "2001:db8::1": "2001:db8::/64",
    "2001:DB8:0:0:ffff::2": "2001:db8::/64",
    "[2001:db8::1]": "2001:db8::/64",
    "[2001:db8::1]:443": "2001:db8::/64",
    "2001:db8:0:1::1": "2001:db8:0:1::/64",
    "::ffff:203.0.113.9": "203.0.113.9",
    "[::ffff:203.0.113.9]:443": "203.0.113.9",
    "fe80::1%eth0": "fe80::/64",
    "[fe80::1%25eth0]:443": "fe80::/64",
    "::1": "::/64",
}
NO_ADDRESSES = [
    "",
    " ",
    "unknown",
    "_hidden",
    "localhost",
    "203.0.113",
    "203.0.113.256",
    "203.0.113.9:",
    "203.0.113.9:port",
    "203.0.113.9:443:443",
    "2001:db8::1]:443",
    "[2001:db8::1",
    "[203.0.113.9",
    "[]",
    "[]:443",
    "١٢٧.0.0.1",
    "1" * 5000,
    "[" * 5000,
    "<script>",
    "203.0.113.9\x00",
]


def address(*, peer: str = PEER, **headers: str) -> str:
    request = RequestFactory().get("/", REMOTE_ADDR=peer, **headers)  # type: ignore[arg-type]
    return throttling.address(request)


@pytest.fixture
def one_proxy(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 1


@pytest.mark.usefixtures("one_proxy")
@pytest.mark.parametrize(("written", "counted"), WRITTEN.items())
def test_a_forwarded_address_is_understood_as_proxies_write_it(written: str, counted: str) -> None:
    assert address(HTTP_X_FORWARDED_FOR=written) == counted


@pytest.mark.parametrize(("written", "counted"), WRITTEN.items())
def test_the_address_of_the_peer_is_understood_alike(written: str, counted: str) -> None:
    assert address(peer=written) == counted


@pytest.mark.usefixtures("one_proxy")
@pytest.mark.parametrize("written", NO_ADDRESSES)
def test_what_is_no_address_counts_for_the_peer(written: str) -> None:
    assert address(HTTP_X_FORWARDED_FOR=written) == PEER


@pytest.mark.usefixtures("one_proxy")
def test_without_the_header_a_request_counts_for_its_peer() -> None:
    assert address() == PEER
    assert address(peer="2001:db8::1") == "2001:db8::/64"


def test_a_header_that_fewer_proxies_wrote_than_are_trusted_is_not_believed(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 2

    assert address(HTTP_X_FORWARDED_FOR="203.0.113.9") == PEER
    assert address(HTTP_X_FORWARDED_FOR="203.0.113.9, 203.0.113.10") == "203.0.113.9"
    assert address(HTTP_X_FORWARDED_FOR="x, 203.0.113.9, [2001:db8::1]:1") == "203.0.113.9"


def test_a_socket_of_unix_has_no_address() -> None:
    assert address(peer="") == ""

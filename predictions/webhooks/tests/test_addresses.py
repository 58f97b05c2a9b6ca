import socket
import threading
from typing import Any

import pytest

from predictions.webhooks import addresses
from predictions.webhooks.addresses import BadUrl, NoPublicAddress, Target
from testing.webhooks import HOST, PUBLIC, Network

INTERNAL = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255",
    "192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255",
    "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.7", "192.88.99.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::5db8:d70e", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2001:10::1",
    "2002:7f00:1::", "2002:5db8:d70e::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1", "2606:4700::1%eth0", "localhost", "",
]  # fmt: skip


@pytest.mark.parametrize("address", INTERNAL)
def test_what_is_not_on_the_internet_is_not_public(address: str) -> None:
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "address", [PUBLIC, "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
)
def test_hosts_on_the_internet_are_public(address: str) -> None:
    assert addresses.is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "example.com", "//example.com/", "http://example.com/", "ftp://example.com/",
        "https://", "https:///path", "https:example.com", "https://user@example.com/",
        "https://user:word@example.com/", "https://example.com@127.0.0.1/",
        "https://127.0.0.1\\@example.com/", "https://example.com\\.evil.com/",
        "https://example.com:80/", "https://example.com:22/", "https://example.com:8443/",
        "https://example.com:0/", "https://example.com:99999/", "https://example.com:443:443/",
        "https://example.com:/", "https://example.com/ x", "https://example.com/\r\nHost: x",
        "https://example.com/\x00", "https://exam\tple.com/", "https://é.com/",
        "https://ⅼocalhost/", "https://example.com/é", "https://example.com/#fragment",
        "https://[::1", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://-example.com/",
        "file:///etc/passwd", "javascript:alert(1)", "https://example.com/" + "x" * 500,
    ],
)  # fmt: skip
def test_an_address_that_anybody_could_misread_is_refused(url: str) -> None:
    with pytest.raises(BadUrl):
        addresses.parse(url)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target(True, "example.com", 443, "/")),
        ("HTTPS://Example.com:443/a?b=c", Target(True, "Example.com", 443, "/a?b=c")),
        ("https://example.com?b=/c", Target(True, "example.com", 443, "/?b=/c")),
        ("https://[2606:4700::1111]/x", Target(True, "2606:4700::1111", 443, "/x")),
    ],
)
def test_an_address_is_taken_apart(url: str, target: Target) -> None:
    assert addresses.parse(url) == target


def test_where_it_is_allowed_an_address_may_be_local(settings: Any) -> None:
    settings.WEBHOOK_LOCAL = True

    target = addresses.parse("http://127.0.0.1:8080/x")

    assert target == Target(False, "127.0.0.1", 8080, "/x")
    assert addresses.resolve(target, 1) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "0"]
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    target = addresses.parse(f"https://{host}/")

    with pytest.raises(NoPublicAddress):
        addresses.resolve(target, 5)


def test_one_internal_address_among_public_ones_is_enough(network: Network) -> None:
    network.names[HOST] = [[PUBLIC, "10.0.0.1"]]

    with pytest.raises(NoPublicAddress):
        addresses.resolve(addresses.parse(f"https://{HOST}/"), 1)


def test_a_name_that_nobody_knows_is_refused(network: Network) -> None:
    with pytest.raises(NoPublicAddress):
        addresses.resolve(addresses.parse("https://unknown.example.com/"), 1)


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hangs.wait(10))

    with pytest.raises(TimeoutError):
        addresses.resolve(addresses.parse("https://example.com/"), 0.05)

    hangs.set()

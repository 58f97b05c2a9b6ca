"""What `manage.py serve` says about where it answers."""

import socket

import pytest
from django.conf import settings

from carprice.management import addresses

OWN = ["192.168.1.5", "[2001:db8::5]"]
DEFAULT = ["localhost", "127.0.0.1", "[::1]"]


def say(
    monkeypatch: pytest.MonkeyPatch, bound: str, allowed: list[str], own: list[str] = OWN
) -> str:
    monkeypatch.setattr(settings, "BIND_HOST", bound)
    monkeypatch.setattr(settings, "ALLOWED_HOSTS", allowed)
    monkeypatch.setattr(settings, "PORT", 8001)
    monkeypatch.setattr(addresses, "_own_addresses", lambda **_: own)
    return addresses.describe()


def test_on_this_machine_alone_it_answers_as_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    said = say(monkeypatch, "127.0.0.1", DEFAULT)

    assert said == "Carprice answers at http://localhost:8001 (Ctrl-C stops it).\n"


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
def test_everywhere_it_says_which_addresses_are_refused_and_how_to_allow_them(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    said = say(monkeypatch, bound, DEFAULT)

    assert said.splitlines() == [
        "Carprice answers at http://localhost:8001 (Ctrl-C stops it).",
        "To have it answer at http://192.168.1.5:8001, http://[2001:db8::5]:8001 as well, "  # noqa: ISC004  # one line
        "set ALLOWED_HOSTS=localhost,127.0.0.1,[::1],192.168.1.5,[2001:db8::5]",
        "Any other name of this machine must be added to ALLOWED_HOSTS before it is used.",
    ]


def test_what_is_allowed_is_among_the_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    said = say(monkeypatch, "0.0.0.0", ["localhost", "192.168.1.5"], OWN[:1])

    assert said.splitlines() == [
        "Carprice answers at http://localhost:8001, http://192.168.1.5:8001 (Ctrl-C stops it).",
        "Any other name of this machine must be added to ALLOWED_HOSTS before it is used.",
    ]


def test_where_any_host_is_allowed_nothing_is_to_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    said = say(monkeypatch, "0.0.0.0", ["*"], OWN[:1])

    assert "ALLOWED_HOSTS" not in said
    assert "http://192.168.1.5:8001" in said


def test_it_does_not_promise_an_address_that_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    said = say(monkeypatch, "0.0.0.0", ["shop.example"], OWN[:1])

    assert said.startswith("Carprice answers at port 8001 of shop.example alone (")
    assert "set ALLOWED_HOSTS=shop.example,localhost,192.168.1.5\n" in said


@pytest.mark.parametrize(
    ("bound", "url"), [("::1", "http://[::1]:8001"), ("Box", "http://box:8001")]
)
def test_at_one_address_it_answers_there(
    monkeypatch: pytest.MonkeyPatch, bound: str, url: str
) -> None:
    said = say(monkeypatch, bound, ["[::1]", "box"])

    assert said.startswith(f"Carprice answers at {url} (Ctrl-C")


def test_the_addresses_are_those_of_this_machine() -> None:
    for address in addresses._own_addresses(only_ipv4=False):
        family = socket.AF_INET6 if address.startswith("[") else socket.AF_INET
        with socket.socket(family) as listener:
            listener.bind((address.strip("[]"), 0))


def test_a_machine_without_a_network_has_no_address_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)

    assert list(addresses._own_addresses(only_ipv4=False)) == []

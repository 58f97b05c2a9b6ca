"""Mail servers that speak SMTP, or that refuse to, for what is sent in tests."""

import asyncio
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from accounts.mail import sending

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@dataclass
class Mailbox:
    """A server that takes every mail, but for those to recipients whom it refuses."""

    mails: list[EmailMessage] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # answers, by recipient
    answer: str = "250 OK"  # to a mail's data

    async def handle_RCPT(  # noqa: N802  # a name of aiosmtpd's
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.answer

    def receive(self) -> list[EmailMessage]:
        """Have what is due sent, as a worker does. Returns the mails that came by it."""
        before = len(self.mails)
        sending.send_due()
        return self.mails[before:]

    def link(self) -> str:
        """The path of the link in the one mail that is due."""
        (mail,) = [mail for mail in self.receive() if link_in(mail)]
        return link_in(mail)


def link_in(mail: EmailMessage) -> str:
    """The path of a mail's link with a token; empty if there is none."""
    match = re.search(r"^https?://[^/\s]+(/account/\w+/\S+)$", text_of(mail), re.MULTILINE)
    return match[1] if match else ""


def text_of(mail: EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def recipients(mails: list[EmailMessage]) -> list[str]:
    return [str(mail["To"]) for mail in mails]


class AnyPort(Controller):
    """Listens at a port that is free."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # it has no hints


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    box = Mailbox()
    controller = AnyPort(box, hostname="127.0.0.1", port=0)
    controller.start()
    send_to(settings, controller.port)
    yield box
    controller.stop()


@pytest.fixture
def silent_server(settings: Any) -> Iterator[socket.socket]:
    """It takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        send_to(settings, server.getsockname()[1])
        yield server


def send_to(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = SMTP
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.EMAIL_TIMEOUT = 0.3

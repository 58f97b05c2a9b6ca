"""Mails leave by SMTP on a thread of the worker's; servers that hang, refuse or die lose none."""

import socket
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core.mail.backends.smtp import EmailBackend
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client

from accounts.mail import queue, sending
from accounts.mail.models import OutgoingMail
from accounts.models import User
from predictions.worker import Sweeper
from testing.fixtures import AtOnce
from testing.mail import Mailbox, recipients

pytestmark = pytest.mark.django_db

SITE = "http://testserver"
Kind = OutgoingMail.Kind


def put(user: User) -> None:
    queue.put(Kind.PASSWORD_CHANGED, user.email, site=SITE, user=user)


def make_due() -> None:
    OutgoingMail.objects.update(due_at=Now() - timedelta(seconds=1))


def test_a_mail_is_sent_once_and_forgotten(user: User, mailbox: Mailbox, settings: Any) -> None:
    put(user)

    first, second = mailbox.receive(), mailbox.receive()

    assert recipients(first) == [user.email]
    assert first[0]["From"] == settings.DEFAULT_FROM_EMAIL
    assert second == []
    assert not OutgoingMail.objects.exists()


def test_a_server_that_hangs_delays_no_request(
    client: Client, user: User, silent_server: socket.socket
) -> None:
    began = time.monotonic()
    answer = client.post("/account/forgot", {"email": user.email})
    asked_after = time.monotonic() - began
    sending.send_due()

    assert answer.status_code == 302
    assert asked_after < 0.3  # of EMAIL_TIMEOUT in tests
    assert OutgoingMail.objects.get().attempts == 1
    assert not OutgoingMail.objects.due().exists()


def test_a_server_that_hangs_is_left_alone_after_one_mail(
    user: User, silent_server: socket.socket
) -> None:
    for _ in range(5):
        put(user)

    sending.send_due()

    assert sorted(OutgoingMail.objects.values_list("attempts", flat=True)) == [0, 0, 0, 0, 1]


def test_mail_waits_for_a_server_that_is_away(user: User, mailbox: Mailbox, settings: Any) -> None:
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    put(user)

    sending.send_due()
    settings.EMAIL_PORT = port
    too_early = mailbox.receive()
    make_due()

    assert too_early == []
    assert recipients(mailbox.receive()) == [user.email]


@pytest.mark.parametrize(
    ("refusal", "is_kept"), [("550 No such user", False), ("451 Come back later", True)]
)
def test_a_recipient_is_refused_for_good_or_for_now(
    user: User, mailbox: Mailbox, refusal: str, is_kept: bool
) -> None:
    mailbox.refused[user.email] = refusal
    put(user)

    assert mailbox.receive() == []
    assert OutgoingMail.objects.exists() == is_kept


@pytest.mark.parametrize(
    ("answer", "is_kept"), [("554 This is spam", False), ("452 Disk full", True)]
)
def test_a_text_is_refused_for_good_or_for_now(
    user: User, mailbox: Mailbox, answer: str, is_kept: bool
) -> None:
    mailbox.answer = answer
    put(user)

    assert mailbox.receive() == []
    assert OutgoingMail.objects.exists() == is_kept


def test_a_mail_is_given_up_after_a_day(user: User, mailbox: Mailbox) -> None:
    mailbox.refused[user.email] = "451 Come back later"
    put(user)
    OutgoingMail.objects.update(created_at=F("created_at") - timedelta(hours=25))

    mailbox.receive()

    assert not OutgoingMail.objects.exists()


def test_the_log_has_no_address_and_no_link(
    user: User, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox.refused[user.email] = f"550 No such user {user.email}"
    queue.put(Kind.RESET, user.email, site=SITE)

    mailbox.receive()

    assert "550" in caplog.text
    assert user.email not in caplog.text
    assert "/account/" not in caplog.text


def test_a_process_that_dies_while_sending_loses_no_mail(
    user: User, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> int:
        raise SystemExit

    put(user)
    with monkeypatch.context() as patch:
        patch.setattr(EmailBackend, "send_messages", die)
        with pytest.raises(SystemExit):
            sending.send_due()
    leased = mailbox.receive()
    make_due()

    assert leased == []
    assert recipients(mailbox.receive()) == [user.email]


def test_a_mail_is_in_the_language_of_who_asked(
    client: Client, user: User, mailbox: Mailbox
) -> None:
    client.post("/account/forgot", {"email": user.email}, HTTP_ACCEPT_LANGUAGE="ru")

    assert OutgoingMail.objects.get().language == "ru"
    assert len(mailbox.receive()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_sweep_of_a_worker_sends_what_is_due(user: User, mailbox: Mailbox) -> None:
    put(user)

    Sweeper().sweep()
    deadline = time.monotonic() + 10
    while not mailbox.mails and time.monotonic() < deadline:
        time.sleep(0.02)
    with sending._sending:  # until its thread has ended
        pass

    assert recipients(mailbox.mails) == [user.email]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_workers_send_each_mail_once(user: User, mailbox: Mailbox, at_once: AtOnce) -> None:
    for _ in range(6):
        put(user)

    at_once([sending.send_due] * 3)

    assert len(mailbox.mails) == 6

"""What the tests of bad input share: a world with something of everything, and what is in it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.test import Client

from accounts.browsers.models import BrowserSession
from accounts.keys.models import ApiKey
from accounts.keys.services import make_key
from accounts.mail import links
from accounts.mail.links import Purpose
from accounts.mail.models import OutgoingMail
from accounts.models import TokenSession, User
from accounts.services import end_session
from accounts.tokens import SessionAccessToken, SessionRefreshToken, open_session
from accounts.totp import sealing
from accounts.totp.models import Authenticator, RecoveryCode
from billing.models import CreditAccount, LedgerEntry
from billing.payments import codes, events
from billing.payments.models import Payment, StripeEvent, TakeBack, Voucher
from billing.payments.services import make_vouchers
from billing.services import set_available
from carprice.idempotency.models import IdempotencyKey
from mlmodels.catalogue import publishing, queries
from mlmodels.models import Predictor, PriceChange
from predictions import services, what_ifs
from predictions.execution import runner
from predictions.models import Prediction, WhatIf
from predictions.webhooks import services as webhooks
from predictions.webhooks.models import Delivery, Endpoint
from testing.fixtures import CREDITS, PASSWORD, Trained
from testing.stripe_server import checkout_event, refund_event
from testing.webhooks import PUBLIC

MODEL = "random_forest"
CAR = {"brand": "bmw", "horsepower": 110}
VARIED = {"horsepower": 120}  # of what has finished; it has been answered
VOUCHER_SEED = "00" * 32
VOUCHER_CODE = codes.derive(VOUCHER_SEED, 1)[0]  # of the one voucher of the world
NO_ID = "00000000-0000-4000-8000-000000000000"
KEPT: list[type[models.Model]] = [
    User,
    BrowserSession,
    TokenSession,
    ApiKey,
    OutgoingMail,
    Authenticator,
    RecoveryCode,
    IdempotencyKey,
    CreditAccount,
    LedgerEntry,
    Voucher,
    Payment,
    TakeBack,
    StripeEvent,
    Prediction,
    WhatIf,
    Predictor,
    PriceChange,
    LogEntry,
    Endpoint,
    Delivery,
]
# No answer to a stranger may contain any of these.
SECRETS = [
    "Traceback",
    'File "',
    ".py",
    "SELECT ",
    "INSERT ",
    "UPDATE ",
    "psycopg",
    "sqlite",
    "argon2",
    PASSWORD,
    str(settings.BASE_DIR),
    str(settings.VAR_DIR),
    settings.SECRET_KEY,
    settings.JWT_SIGNING_KEY,
]

RECOVERY_CODE = "ABCDEFGHIJKLMNOP"  # of the operator's authenticator
NESTED = 100_000
# A body that no route accepts, whatever it asks for.
BROKEN_BODIES = {
    "nothing": b"",
    "blank": b" \r\n\t",
    "null": b"null",
    "a-list": b"[]",
    "a-list-of-objects": b"[{}]",
    "a-text": b'"s"',
    "a-number": b"7",
    "a-truth": b"true",
    "nan": b"NaN",
    "minus-infinity": b"-Infinity",
    "huge-float": b"1e999",
    "half-an-object": b"{",
    "half-a-text": b'{"a": "b',
    "trailing-garbage": b"{}x",
    "two-objects": b"{}{}",
    "trailing-comma": b'{"a": 1,}',
    "single-quotes": b"{'a': 1}",
    "comment": b'{"a": 1} // one',
    "python": b'{"a": None}',
    "leading-zero": b'{"a": 01}',
    "hexadecimal": b'{"a": 0x1}',
    "raw-line-end": b'{"a": "\n"}',
    "bad-escape": b'{"a": "\\x41"}',
    "duplicate-key": b'{"a": 1, "a": 2}',
    "nul-in-a-key": b'{"\\u0000": 1}',
    "nul-in-a-text": b'{"a": "\\u0000"}',
    "raw-nul": b'{"a": 1}\x00',
    "lone-surrogate": b'{"a": "\\ud800"}',
    "lone-surrogate-in-a-key": b'{"\\udfff": 1}',
    "swapped-surrogates": b'{"a": "\\udc00\\ud800"}',
    "encoded-surrogate": b'{"a": "\xed\xa0\x80"}',
    "overlong-utf-8": b'{"a": "\xc0\xaf"}',
    "cut-utf-8": b'{"a": "\xe2\x82"}',
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "utf-8-with-bom": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "utf-16-le": '{"a": 1}'.encode("utf-16-le"),
    "utf-32": "{}".encode("utf-32"),
    "binary": bytes(range(256)),
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    "5000-digits": b'{"a": ' + b"9" * 5_000 + b"}",
    "deep-lists": b"[" * NESTED,
    "deep-closed-lists": b"[" * NESTED + b"]" * NESTED,
    "deep-objects": b'{"a":' * 1_200 + b"1" + b"}" * 1_200,
    "21-levels": b'{"a":' + b"[" * 20 + b"]" * 20 + b"}",
    "unknown-field": b'{"no_such_field": 1}',
    "form": b"model_name=random_forest&new_amount=5",
}


class World:
    """A user with a draft, a queued, an ended, a finished and an erased task; others."""

    def __init__(self, trained: Trained) -> None:
        for domain, spec, card in trained:
            publishing.publish(domain, spec, card)
        self.user = User.objects.create_user("ada@example.com", PASSWORD, name="Ada")
        self.stranger = self._like("eve@example.com")
        self.operator = self._like("root@example.com", is_staff=True, is_superuser=True)
        make_vouchers(seed=VOUCHER_SEED, count=1, credit=5, actor=self.operator)
        self.payment = self._owed_payment()
        self._enroll(self.operator)
        self.session = open_session(self.user, refreshable=True)
        self.token = str(SessionAccessToken.for_session(self.session))
        self.refresh_token = str(SessionRefreshToken.for_session(self.session))
        self.browser = signed_in(self.user)
        for user in (self.user, self.stranger):  # with two movements each, for two pages
            set_available(user_id=user.pk, new_amount=CREDITS + 1)
            set_available(user_id=user.pk, new_amount=CREDITS)
        finished = self._finished()
        self.ids = {
            "finished": finished,
            "draft": self._draft(self.user),
            "queued": self._queued(self.user),
            "ended": self._canceled(self.user),
            "erased": self._erased(),
            "theirs": self._draft(self.stranger),
            "their_queued": self._queued(self.stranger),
            "key": self._key(self.user),
            "their_key": self._key(self.stranger),
            **self._webhook(),
        }
        self.entry = LedgerEntry.objects.filter(account=self.user.pk).latest("pk").pk
        self.predictor = Predictor.objects.get(name=MODEL)

    def _owed_payment(self) -> Payment:
        """One of the operator's, refunded after its credits were used."""
        account = CreditAccount.objects.get(pk=self.operator.pk)
        row = Payment.objects.create(account=account, credits=5, amount=5, currency="usd")
        for told in (checkout_event(row), refund_event(row, 5)):
            events.receive(events.Event(told["id"], told["type"], told["data"]["object"]))
            set_available(user_id=self.operator.pk, new_amount=0)
        set_available(user_id=self.operator.pk, new_amount=5)
        row.refresh_from_db()
        return row

    def _enroll(self, operator: User) -> None:
        row = Authenticator.objects.create(
            user=operator, sealed_secret=sealing.seal(bytes(20)), confirmed_at=Now()
        )
        digest = hashlib.sha256(RECOVERY_CODE.encode()).hexdigest()
        RecoveryCode.objects.create(authenticator=row, digest=digest)

    def link(self, purpose: Purpose, address: str = "") -> str:
        """The path of a new link to the user's address, or to another."""
        user = User.objects.get(pk=self.user.pk)
        return links.path(purpose, user, address or user.email)

    def token_of(self, user: User) -> str:
        return str(SessionAccessToken.for_session(open_session(user)))

    def ended_token(self) -> str:
        session = open_session(self.user)
        end_session(session.pk)
        return str(SessionAccessToken.for_session(session))

    def _like(self, email: str, **fields: Any) -> User:
        return User.objects.create(email=email, password=self.user.password, **fields)

    def _draft(self, user: User) -> str:
        predictor = queries.find_on_sale(MODEL)
        row = services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
        return str(row.pk)

    def _queued(self, user: User) -> str:
        predictor = queries.find_on_sale(MODEL)
        return str(services.request_prediction(user=user, predictor=predictor, data=CAR).pk)

    def _key(self, user: User) -> str:
        return str(make_key(user=user, name="A program", access="write").pk)

    def _finished(self) -> str:
        key = self._queued(self.user)
        version_id = queries.find_on_sale(MODEL).current_version_id
        assert version_id
        runner.run_queued(Prediction, version_id)
        what_ifs._queue(self.user, UUID(key), VARIED)
        runner.run_queued(WhatIf, version_id)
        return key

    def _canceled(self, user: User) -> str:
        key = self._queued(user)
        services.cancel(user=user, prediction_id=UUID(key))
        return key

    def _webhook(self) -> dict[str, str]:
        endpoint = webhooks.create(user=self.user, url=f"https://{PUBLIC}/hook")
        delivery = webhooks.send_test(user=self.user, endpoint_id=endpoint.pk)
        return {"webhook": str(endpoint.pk), "delivery": str(delivery.pk)}

    def _erased(self) -> str:
        key = self._canceled(self.user)
        services.erase(user=self.user, prediction_id=UUID(key))
        return key


def signed_in(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


@contextmanager
def built(trained: Trained) -> Iterator[World]:
    """A world that is gone afterwards."""
    with transaction.atomic():
        yield World(trained)
        transaction.set_rollback(True)


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row that a request could change."""
    rows = {}
    with connection.cursor() as cursor:
        for kind in KEPT:
            cursor.execute(f"SELECT * FROM {kind._meta.db_table} ORDER BY 1")
            rows[kind.__name__] = cursor.fetchall()
    return rows


def changed(before: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    """The kinds of rows that are no longer as they were."""
    now = everything()
    return [name for name, rows in before.items() if now[name] != rows]


def leaks(response: Any) -> list[str]:
    """The secrets that an answer contains."""
    text = response.content.decode(errors="replace")
    return [secret for secret in SECRETS if secret in text]


def state(user: User) -> tuple[int, ...]:
    """Everything a refused request must leave as it was."""
    account = CreditAccount.objects.get(pk=user.pk)
    return (
        User.objects.count(),
        Prediction.objects.count(),
        LedgerEntry.objects.count(),
        account.balance,
        account.held,
    )

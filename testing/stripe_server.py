"""The part of Stripe that the service needs: its API for checkouts, and events signed as it does.

The server keeps the answer to each idempotency key, and refuses a key that comes with other
parameters, as Stripe does.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import stripe
from django.test import Client

SECRET_KEY = "sk_test_of_these_tests"
WEBHOOK_SECRET = "whsec_of_these_tests"
CHECKOUT = "https://checkout.stripe.com/c/pay/"


@dataclass
class StripeServer:
    """What it was asked for and answered, by idempotency key; `outage` answers all with 500."""

    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    sessions: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    outage: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def create_session(self, key: str, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.requests.append(fields)
            if self.outage:
                return 500, {"error": {"type": "api_error", "message": "Something is broken."}}
            if key in self.sessions:
                first, session = self.sessions[key]
                return (200, session) if first == fields else (400, _error("idempotency_error"))
            name = f"cs_test_{secrets.token_hex(8)}"
            session = {"id": name, "object": "checkout.session", "url": f"{CHECKOUT}{name}"}
            self.sessions[key] = fields, session
            return 200, session


def _error(kind: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "Refused."}}


@contextmanager
def stripe_server() -> Iterator[StripeServer]:
    server = StripeServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = 404, _error("invalid_request_error")
            if self.headers["Authorization"] != f"Bearer {SECRET_KEY}":
                status = 401
            elif self.path == "/v1/checkout/sessions":
                key = self.headers.get("Idempotency-Key", "")
                status, answer = server.create_session(key, dict(parse_qsl(body)))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.port = http.server_port
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield server
        http.shutdown()


# --- Events --------------------------------------------------------------------------------------


def event(kind: str, about: dict[str, Any], *, key: str = "") -> dict[str, Any]:
    return {
        "id": key or f"evt_{secrets.token_hex(8)}",
        "object": "event",
        "type": kind,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": about},
    }


def checkout_event(payment: Any, kind: str = "completed", **changes: Any) -> dict[str, Any]:
    """What Stripe tells of the checkout of a payment; paid, unless the changes say otherwise."""
    session = {
        "id": payment.session_id or "cs_test_1",
        "object": "checkout.session",
        "client_reference_id": str(payment.pk),
        "metadata": {"payment": str(payment.pk)},
        "amount_total": payment.amount,
        "currency": payment.currency,
        "payment_intent": f"pi_{payment.pk}",
        "payment_status": "paid",
        "status": "complete",
    }
    return event(f"checkout.session.{kind}", {**session, **changes})


def refund_event(payment: Any, refunded: int) -> dict[str, Any]:
    """What Stripe tells once so much in all was refunded of a payment."""
    charge = {
        "id": f"ch_{payment.pk}",
        "object": "charge",
        "metadata": {"payment": str(payment.pk)},
        "payment_intent": f"pi_{payment.pk}",
        "amount": payment.amount,
        "amount_refunded": refunded,
        "refunded": refunded == payment.amount,
    }
    return event("charge.refunded", charge)


def sign(body: str, *, secret: str = WEBHOOK_SECRET, age: int = 0) -> str:
    """The header of a body that was signed `age` seconds ago."""
    at = int(time.time()) - age
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, at))


def deliver(told: dict[str, Any]) -> Any:
    """Send an event to the webhook, as Stripe does."""
    body = json.dumps(told)
    return Client(enforce_csrf_checks=True).post(
        "/payments/stripe/webhook",
        body,
        content_type="application/json; charset=utf-8",
        headers={"Stripe-Signature": sign(body)},
    )

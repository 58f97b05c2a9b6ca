"""Every page for `carprice/tests/test_bad_page_input.py`: what fills in its form, what it refuses.

A new form is covered by its line in FORMS, a page that is only looked at by one in PAGES, what a
button sends to by one in BUTTONS; `{queued}` and the like stand for ids of the world.
"""

from dataclasses import dataclass, field
from typing import Any

from testing.bad_input import CAR, MODEL, NO_ID, RECOVERY_CODE, VARIED
from testing.fixtures import PASSWORD
from testing.webhooks import PUBLIC

LONG = "x" * 1_000_000
BROKEN_TEXT: list[str | bytes] = [
    "x\x00",
    b"x\xed\xa0\x80",
    b"\xff\xfe",
    LONG,
]  # bytes are sent as they are
TEXT: list[str | bytes] = ["", "   ", *BROKEN_TEXT]
NUMBER: list[str | bytes] = [
    "many",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "-1e999",
    "1e308",
    "1" + "0" * 20,
]
NUMBER += ["-1" + "0" * 20, "9" * 5_000, "9223372036854775808", "1_0", "0x10", "1\x00"]
NUMBER += ["true", "1,5", "1 0", "<script>", "' OR 1=1 --", b"\xed\xa0\x80", "9" * 1_000_000]
WHOLE = ["", " ", *NUMBER, "1.5", "0.1", "1e3", "1,000", "1.000", "12 credits"]


@dataclass(frozen=True)
class Form:
    """A page that takes a form: what fills it in, and what each of its fields refuses."""

    name: str
    path: str
    who: str  # of the world; nobody if empty
    bad: dict[str, list[Any]]
    fields: dict[str, str] = field(default_factory=dict)
    status: int = 422  # of the form with messages
    features: dict[str, Any] = field(default_factory=dict)  # that are not typical

    @property
    def may_be_empty(self) -> bool:
        """Whether it describes a case, of which everything but one feature may be left out."""
        return not self.fields

    def __str__(self) -> str:
        return self.name


FORMS = [
    Form(
        "sign-up",
        "/account/sign-up",
        "",
        {
            "name": [*TEXT, "x" * 151],
            "email": [*TEXT, "ada", "ada@", "a b@example.com", "é@example.com", "a@b@c", "x" * 255],
            "password": ["", "seven-7", "password123", "12345678", "x9!" * 43, *BROKEN_TEXT],
        },
        {"name": "Bob", "email": "bob@example.com", "password": "an unusual sentence"},
    ),
    Form(
        "sign-in",
        "/account/sign-in",
        "",
        {"email": [*TEXT, "ada", "x" * 255], "password": ["", "x" * 129, *BROKEN_TEXT]},
        {"email": "ada@example.com", "password": PASSWORD},
    ),
    Form(
        "password-forgot",
        "/account/forgot",
        "",
        {"email": [*TEXT, "ada", "ada@", "é@example.com", "x" * 255]},
        {"email": "ada@example.com"},
    ),
    Form(
        "password-reset",
        "{reset}",
        "",
        {"password": ["", "seven-7", "password123", "12345678", "x9!" * 43, *BROKEN_TEXT]},
        {"password": "an unusual sentence"},
    ),
    Form(
        "account-address",
        "/account/address",
        "user",
        {
            "email": [*TEXT, "ada", "é@example.com", "x" * 255, "ada@example.com"],
            "current_password": ["", "wrong", "x" * 129, *BROKEN_TEXT],
        },
        {"email": "countess@example.com", "current_password": PASSWORD},
    ),
    Form(
        "staff-code",
        "/account/code",
        "operator",
        {"code": [*TEXT, "123456", "x" * 41, "１２３４５６", "é"]},
        {"code": RECOVERY_CODE},
    ),
    Form(
        "account-name",
        "/account/name",
        "user",
        {"name": [*TEXT, "x" * 151]},
        {"name": "Countess"},
    ),
    Form(
        "account-password",
        "/account/password",
        "user",
        {
            "current_password": ["", "wrong", "x" * 129, *BROKEN_TEXT],
            "password": ["", "seven-7", "password123", "12345678", "x9!" * 43, *BROKEN_TEXT],
        },
        {"current_password": PASSWORD, "password": "an unusual sentence"},
    ),
    Form(
        "keys",
        "/account/keys",
        "user",
        {
            "name": [*TEXT, "x" * 151],
            "access": [*TEXT, "admin"],
            "expires_in_days": [*TEXT, "7", "0", "-1", "30.0", "9" * 5_000],
        },
        {"name": "A program", "access": "read", "expires_in_days": "never"},
    ),
    Form(
        "account-delete",
        "/account/delete",
        "user",
        {"password": ["", "wrong", "x" * 129, *BROKEN_TEXT]},
        {"password": PASSWORD},
    ),
    Form(
        "wallet",
        "/wallet",
        "user",
        {"amount": [*WHOLE, "0", "-1", "1000001"]},
        {"amount": "5"},
    ),
    Form(
        "webhooks",
        "/account/webhooks",
        "user",
        {
            "url": [
                *TEXT,
                "example.com",
                f"http://{PUBLIC}/",
                f"https://{PUBLIC}:8443/",
                f"https://me@{PUBLIC}/",
                "https://127.0.0.1/",
                "https://localhost/",
                f"https://{PUBLIC}/{'x' * 500}",
            ]
        },
        {"url": f"https://{PUBLIC}/second"},
    ),
    Form(
        "estimate",
        f"/estimate/{MODEL}",
        "user",
        {
            "brand": [*BROKEN_TEXT, "tesla", "BMVV", "<script>"],
            "horsepower": [*NUMBER, "0", "-1", "2001", "110.5", "5-4", "<5", "1,234", "99 mg"],
            "stroke": [*(text for text in NUMBER if text != "1,5"), "0", "-3"],
        },
    ),
    Form(
        "prediction",
        "/predictions/{draft}",
        "user",
        {
            "brand": [*BROKEN_TEXT, "tesla", "BMVV", "<script>"],
            "horsepower": [*NUMBER, "0", "-1", "2001", "110.5", "5-4", "<5", "1,234", "99 mg"],
        },
    ),
    Form(
        "what-if",
        "/predictions/{finished}/what-if",
        "user",
        {
            "brand": [*BROKEN_TEXT, "tesla", "BMVV", "<script>"],
            "horsepower": [*NUMBER, "0", "-1", "2001", "110.5", "5-4", "<5", "1,234", "99 mg"],
        },
        features={**CAR, **VARIED},
    ),
    Form(
        "admin-correction",
        "/admin/billing/creditaccount/{user}/correct/",
        "operator",
        {
            "change": [*WHOLE, "0", "1000000001", "-1000000001"],
            "reason": [*TEXT, "x" * 201],
        },
        {"change": "5", "reason": "A gift"},
        status=200,
    ),
    Form(
        "admin-vouchers",
        "/admin/payments/voucher/add/",
        "operator",
        {
            "count": [*WHOLE, "0", "-1", "1001"],
            "credit": [*WHOLE, "0", "-1", "1000001"],
        },
        {"count": "2", "credit": "5", "expires_at": "2100-01-01", "note": "For the fair"},
        status=200,
    ),
    Form(
        "admin-price",
        "/admin/mlmodels/predictor/{predictor}/change/",
        "operator",
        {"price": [*WHOLE, "0", "-1", "1000001"]},
        {
            "price": "7",
            "enabled": "on",
        },
        status=200,
    ),
]
OURS = [form for form in FORMS if form.status == 422]
PAGES = [
    "/",
    "/account",
    "/account/export",
    "/catalogue",
    f"/catalogue/{MODEL}",
    "/predictions",
    "/predictions.csv",
    "/predictions/{queued}/status",
    "/shared/unknown",
    "/wallet/statements",
    "/wallet/statements/2026-01",
    "/wallet/statements/2026-01.csv",
]
BUTTONS = [
    "/account/sign-out",
    f"/account/keys/{NO_ID}/revoke",
    f"/account/sessions/{NO_ID}/end",
    "/account/browsers/unknown/end",
    "/account/sessions/end-others",
    "/account/verify",
    "/predictions/{queued}/cancel",
    "/predictions/{finished}/name",
    "/predictions/{finished}/revoke",
    "/predictions/{finished}/share",
    "/preferences",
]
CONFIRMED = [  # with a button of their own
    "/account/address/unknown",
    "/account/code/enroll",
    "/account/verify/unknown",
    "/account/webhooks/{webhook}",
    "/predictions/chosen",
    "/predictions/{ended}/delete",
]
# What is good in them depends on the time; accounts/totp/tests has what is bad.
OF_THE_MOMENT = {"staff-enroll"}
WITH_ID = [("GET", path) for path in (*PAGES, *CONFIRMED) if "{" in path]
WITH_ID += [("POST", path) for path in (*BUTTONS, *CONFIRMED) if "{" in path]
WITH_ID += [("GET", "/predictions/{queued}"), ("POST", "/predictions/{draft}")]

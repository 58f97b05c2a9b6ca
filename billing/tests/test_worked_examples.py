"""Worked examples of the ledger, to be read and checked with a pencil.

The first table of an example says what happens, and what the customer's account shows after it:
the balance is all posted credits, held is what predictions that have not ended reserve, and
available, the balance less held, is what can be spent. The second table is the ledger in the end,
one line for each change. A step that ends in "refused" changes nothing and writes nothing.
"""

import re
from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from billing import services
from billing.models import CreditAccount, LedgerEntry
from carprice.http.errors import ServiceError
from mlmodels.catalogue import pricing, queries
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.execution import runner, settlement
from predictions.models import Prediction
from predictions.services import request_prediction

EXAMPLES = {
    "a prediction that finishes is paid by what was held for it": """
        step                                      | balance | held | available
        top up 100                                |     100 |    0 |       100
        ask for a prediction at 40                |     100 |   40 |        60
        it finishes                               |      60 |    0 |        60

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        hold       |       0 |  +40 |           100 |         40 |
        charge     |     -40 |  -40 |            60 |          0 |
        """,
    "a prediction that fails costs nothing": """
        step                                      | balance | held | available
        top up 100                                |     100 |    0 |       100
        ask for a prediction at 40                |     100 |   40 |        60
        it fails                                  |     100 |    0 |       100

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        hold       |       0 |  +40 |           100 |         40 |
        release    |       0 |  -40 |           100 |          0 |
        """,
    "several predictions at once hold the sum of their prices": """
        step                                      | balance | held | available
        top up 100                                |     100 |    0 |       100
        ask for a prediction at 40                |     100 |   40 |        60
        ask for a prediction at 25                |     100 |   65 |        35
        it fails                                  |     100 |   40 |        60
        ask for a prediction at 10                |     100 |   50 |        50
        both finish                               |      50 |    0 |        50

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        hold       |       0 |  +40 |           100 |         40 |
        hold       |       0 |  +25 |           100 |         65 |
        release    |       0 |  -25 |           100 |         40 |
        hold       |       0 |  +10 |           100 |         50 |
        charge     |     -40 |  -40 |            60 |         10 |
        charge     |     -10 |  -10 |            50 |          0 |
        """,
    "what is held cannot be spent twice": """
        step                                      | balance | held | available
        ask for a prediction at 40: refused       |       0 |    0 |         0
        top up 79                                 |      79 |    0 |        79
        ask for a prediction at 40                |      79 |   40 |        39
        ask for a prediction at 40: refused       |      79 |   40 |        39
        top up 1                                  |      80 |   40 |        40
        ask for a prediction at 40                |      80 |   80 |         0
        ask for a prediction at 1: refused        |      80 |   80 |         0
        both finish                               |       0 |    0 |         0

        entry      | balance | held | balance after | held after | reason
        top-up     |     +79 |    0 |            79 |          0 |
        hold       |       0 |  +40 |            79 |         40 |
        top-up     |      +1 |    0 |            80 |         40 |
        hold       |       0 |  +40 |            80 |         80 |
        charge     |     -40 |  -40 |            40 |         40 |
        charge     |     -40 |  -40 |             0 |          0 |
        """,
    "the price is the one at submission, whatever it is at the end": """
        step                                      | balance | held | available
        top up 100                                |     100 |    0 |       100
        ask for a prediction at 40                |     100 |   40 |        60
        the price changes to 75                   |     100 |   40 |        60
        it finishes                               |      60 |    0 |        60
        ask for a prediction at 75: refused       |      60 |    0 |        60
        ask for a prediction at 10                |      60 |   10 |        50
        the price changes to 1                    |      60 |   10 |        50
        it finishes                               |      50 |    0 |        50

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        hold       |       0 |  +40 |           100 |         40 |
        charge     |     -40 |  -40 |            60 |          0 |
        hold       |       0 |  +10 |            60 |         10 |
        charge     |     -10 |  -10 |            50 |          0 |
        """,
    "an operator corrects a balance, but not below what is held": """
        step                                      | balance | held | available
        top up 100                                |     100 |    0 |       100
        the operator adds 20 (Late payment)       |     120 |    0 |       120
        ask for a prediction at 40                |     120 |   40 |        80
        the operator takes 81 (Fraud): refused    |     120 |   40 |        80
        the operator takes 80 (Fraud)             |      40 |   40 |         0
        it finishes                               |       0 |    0 |         0
        the operator takes 1 (Fraud): refused     |       0 |    0 |         0
        the operator adds 5 ( ): refused          |       0 |    0 |         0

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        adjustment |     +20 |    0 |           120 |          0 | Late payment
        hold       |       0 |  +40 |           120 |         40 |
        adjustment |     -80 |    0 |            40 |         40 | Fraud
        charge     |     -40 |  -40 |             0 |          0 |
        """,
    "a charge is given back once, in full, whatever is held meanwhile": """
        step                                      | balance | held | available
        top up 50                                 |      50 |    0 |        50
        ask for a prediction at 40                |      50 |   40 |        10
        refund the charge (Wrong car): refused    |      50 |   40 |        10
        it finishes                               |      10 |    0 |        10
        ask for a prediction at 10                |      10 |   10 |         0
        refund the charge (Wrong car)             |      50 |   10 |        40
        refund the charge (Wrong car): refused    |      50 |   10 |        40
        it fails                                  |      50 |    0 |        50

        entry      | balance | held | balance after | held after | reason
        top-up     |     +50 |    0 |            50 |          0 |
        hold       |       0 |  +40 |            50 |         40 |
        charge     |     -40 |  -40 |            10 |          0 |
        hold       |       0 |  +10 |            10 |         10 |
        refund     |     +40 |    0 |            50 |         10 | Wrong car
        release    |       0 |  -10 |            50 |          0 |
        """,
    "setting what is available leaves what is held, and records the difference": """
        step                                      | balance | held | available
        set what is available to 100              |     100 |    0 |       100
        ask for a prediction at 40                |     100 |   40 |        60
        set what is available to 100              |     140 |   40 |       100
        set what is available to 30               |      70 |   40 |        30
        set what is available to 30               |      70 |   40 |        30
        set what is available to 0                |      40 |   40 |         0
        it finishes                               |       0 |    0 |         0

        entry      | balance | held | balance after | held after | reason
        top-up     |    +100 |    0 |           100 |          0 |
        hold       |       0 |  +40 |           100 |         40 |
        top-up     |     +40 |    0 |           140 |         40 |
        adjustment |     -70 |    0 |            70 |         40 |
        adjustment |     -30 |    0 |            40 |         40 |
        charge     |     -40 |  -40 |             0 |          0 |
        """,
    "no balance goes above the ceiling of 1,000,000,000, held credits included": """
        step                                      |       balance | held |     available
        top up 1,000,001: refused                 |             0 |    0 |             0
        set what is available to 1,000,000,001: refused |       0 |    0 |             0
        set what is available to 1,000,000,000    | 1,000,000,000 |    0 | 1,000,000,000
        top up 1: refused                         | 1,000,000,000 |    0 | 1,000,000,000
        the operator adds 1 (Gift): refused       | 1,000,000,000 |    0 | 1,000,000,000
        ask for a prediction at 40                | 1,000,000,000 |   40 |   999,999,960
        set what is available to 999,999,961: refused | 1,000,000,000 | 40 | 999,999,960
        it finishes                               |   999,999,960 |    0 |   999,999,960
        top up 1                                  |   999,999,961 |    0 |   999,999,961
        refund the charge (Gift): refused         |   999,999,961 |    0 |   999,999,961
        the operator takes 1 (Makes room)         |   999,999,960 |    0 |   999,999,960
        refund the charge (Gift)                  | 1,000,000,000 |    0 | 1,000,000,000

        entry      |        balance | held | balance after | held after | reason
        top-up     | +1,000,000,000 |    0 | 1,000,000,000 |          0 |
        hold       |              0 |  +40 | 1,000,000,000 |         40 |
        charge     |            -40 |  -40 |   999,999,960 |          0 |
        top-up     |             +1 |    0 |   999,999,961 |          0 |
        adjustment |             -1 |    0 |   999,999,960 |          0 | Makes room
        refund     |            +40 |    0 | 1,000,000,000 |          0 | Gift
        """,
}

WORDS = {"top_up": "top-up", "capture": "charge"}  # of a kind, where it is another one


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_example(
    example: str, make_user: Callable[..., User], predictors: dict[str, Predictor]
) -> None:
    steps, ledger = (table(block) for block in example.split("\n\n"))
    office = Office(
        customer=make_user("customer@example.com", credit=0),
        operator=make_user("operator@example.com", credit=0),
        predictor=predictors["linear_regression"],
    )

    shown = [[step, *office.after(step)] for step, *_ in steps]

    assert shown == [[step, *map(number, figures)] for step, *figures in steps]
    assert office.ledger() == [
        [kind, *map(number, figures), reason] for kind, *figures, reason in ledger
    ]
    assert not breaches()


def table(block: str) -> list[list[str]]:
    """The cells of a table's lines below its heading."""
    return [[cell.strip() for cell in line.split("|")] for line in block.strip().splitlines()[1:]]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


class Office:
    """Does what a step of an example says, and shows the customer's account."""

    def __init__(self, customer: User, operator: User, predictor: Predictor) -> None:
        self.customer = customer
        self.operator = operator
        self.predictor = predictor
        self.deeds: dict[str, Callable[..., Any]] = {
            r"top up ([\d,]+)": self.top_up,
            r"set what is available to ([\d,]+)": self.set_available,
            r"ask for a prediction at (\d+)": self.order,
            r"the price changes to (\d+)": self.change_price,
            r"it finishes|both finish": self.finish,
            r"it fails": self.fail,
            r"the operator adds (\d+) \((.*)\)": self.add,
            r"the operator takes (\d+) \((.*)\)": self.take,
            r"refund the charge \((.*)\)": self.refund,
        }

    def after(self, step: str) -> list[int]:
        """Balance, held and available, once the step has been done or refused."""
        deed, _, refused = step.partition(": ")
        if refused:
            with pytest.raises(ServiceError):
                self.do(deed)
        else:
            self.do(deed)
        account = CreditAccount.objects.get(pk=self.customer.pk)
        return [account.balance, account.held, account.available]

    def do(self, deed: str) -> None:
        matches = [(re.fullmatch(pattern, deed), do) for pattern, do in self.deeds.items()]
        ((match, do),) = [(match, do) for match, do in matches if match]
        do(*match.groups())

    def ledger(self) -> list[list[Any]]:
        return [
            [
                WORDS.get(entry.kind, entry.kind),
                entry.balance_change,
                entry.held_change,
                entry.balance_after,
                entry.held_after,
                entry.reason,
            ]
            for entry in LedgerEntry.objects.filter(account_id=self.customer.pk).order_by("id")
        ]

    def top_up(self, amount: str) -> None:
        services.top_up(user_id=self.customer.pk, amount=number(amount))

    def set_available(self, amount: str) -> None:
        services.set_available(user_id=self.customer.pk, new_amount=number(amount))

    def change_price(self, price: str) -> None:
        pricing.set_price(predictor_id=self.predictor.pk, price=number(price), actor=self.operator)

    def order(self, price: str) -> None:
        self.change_price(price)
        predictor = queries.find_on_sale(self.predictor.name)
        request_prediction(user=self.customer, predictor=predictor, data={"horsepower": 90})

    def finish(self) -> None:
        assert self.predictor.current_version_id
        while runner.run_queued(Prediction, self.predictor.current_version_id):
            pass

    def fail(self) -> None:
        settlement.fail([Prediction.objects.active().latest("hold_id")], "internal_error")

    def add(self, amount: str, reason: str) -> None:
        services.correct_balance(
            user_id=self.customer.pk, change=number(amount), reason=reason, actor=self.operator
        )

    def take(self, amount: str, reason: str) -> None:
        self.add(f"-{amount}", reason)

    def refund(self, reason: str) -> None:
        """Of the last charge; where there is none yet, of the hold."""
        charge = LedgerEntry.objects.filter(kind__in=["capture", "hold"]).order_by("kind", "-id")[0]
        services.refund_charge(capture=charge, reason=reason, actor=self.operator)

"""The audit: what it names, what it leaves in peace, and that it sees one moment only."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.models import F
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing import services
from billing.audit import Invariant
from billing.models import CreditAccount, LedgerEntry
from carprice.db import cursors, snapshots
from mlmodels.models import Predictor
from predictions.audit import INVARIANTS, breaches, check
from predictions.execution import claims, runner, settlement
from predictions.models import Prediction
from predictions.services import request_prediction

pytestmark = pytest.mark.django_db
Submit = Callable[[], Prediction]
TABLES = ["billing_ledgerentry", "billing_creditaccount", "predictions_prediction"]
CHECKS = [
    ("billing_creditaccount", "account_not_overdrawn"),
    ("billing_ledgerentry", "entry_changes_fit_kind"),
    ("billing_ledgerentry", "entry_leaves_account_sound"),
    ("predictions_prediction", "prediction_has_what_its_status_needs"),
]


@pytest.fixture
def submit(user: User, predictor: Predictor) -> Submit:
    return lambda: request_prediction(user=user, predictor=predictor, data={"horsepower": 90})


@pytest.fixture
def finished(submit: Submit, predictor: Predictor) -> Prediction:
    prediction = submit()
    runner.run_queued(Prediction, prediction.version_id)
    return Prediction.objects.get(pk=prediction.pk)


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0)


@contextmanager
def unguarded() -> Iterator[None]:
    """Without triggers, and until the test's transaction is rolled back without some checks."""
    connection.check_constraints()  # pending ones would be in the way
    if connection.vendor == "postgresql":
        for table, name in CHECKS:
            cursors.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
        for table in TABLES:
            cursors.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        connection.check_constraints()
        for table in TABLES:
            cursors.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        return
    triggers = cursors.fetch_all("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    for name, _ in triggers:
        cursors.execute(f"DROP TRIGGER {name}")
    cursors.execute("PRAGMA ignore_check_constraints = ON")
    yield
    cursors.execute("PRAGMA ignore_check_constraints = OFF")
    for _, statement in triggers:
        cursors.execute(statement)


def change_latest(kind: str, **values: Any) -> LedgerEntry:
    entry = LedgerEntry.objects.filter(kind=kind).latest("id")
    LedgerEntry.objects.filter(pk=entry.pk).update(**values)
    return entry


class TestIsQuiet:
    """Where everything is in order."""

    def test_about_an_empty_database(self) -> None:
        assert breaches() == []

    def test_about_everything_that_services_do(
        self, user: User, submit: Submit, predictor: Predictor, operator: User
    ) -> None:
        first = submit()
        runner.run_queued(Prediction, first.version_id)
        charge = LedgerEntry.objects.get(kind="capture")
        services.refund_charge(capture=charge, reason="why", actor=operator)
        services.correct_balance(user_id=user.pk, change=-1, reason="why", actor=operator)
        submit()
        settlement.fail([Prediction.objects.get(status="queued")], "worker_lost")
        submit()
        claims.claim_first_attempts(Prediction, first.version_id)
        submit()

        assert set(Prediction.objects.values_list("status", flat=True)) == {
            "finished",
            "failed",
            "running",
            "queued",
        }
        assert breaches() == []

    def test_about_a_finished_prediction_that_its_user_erased(self, finished: Prediction) -> None:
        with unguarded():
            Prediction.objects.filter(pk=finished.pk).update(data={}, value=None, defaulted=[])

        assert breaches() == []

    def test_about_drafts_and_what_was_canceled_as_one(
        self, user: User, predictor: Predictor
    ) -> None:
        version_id: Any = predictor.current_version_id
        for fields in ({"status": "draft"}, {"status": "canceled", "finished_at": Now()}):
            Prediction.objects.create(
                user=user,
                predictor=predictor,
                version_id=version_id,
                price=40,
                data={},
                **fields,
            )

        assert breaches() == []


class TestNames:
    """Each breach, in a sentence, and only that one."""

    def test_an_account_that_has_more_than_its_entries_give(self, user: User) -> None:
        CreditAccount.objects.filter(pk=user.pk).update(balance=F("balance") + 1)

        (breach,) = breaches()

        assert breach.startswith(f"account {user.pk}: balance 1001 and held 0, ")
        assert "its entries give 1000 and 0" in breach

    def test_an_account_that_holds_what_no_entry_does(self, user: User) -> None:
        CreditAccount.objects.filter(pk=user.pk).update(held=7)

        assert [
            f"account {user.pk}: balance 1000 and held 7" in breach for breach in breaches()
        ] == [True]

    def test_more_held_than_there_is(
        self, user: User, submit: Submit, predictor: Predictor
    ) -> None:
        submit()
        with unguarded():
            change_latest("top_up", balance_change=0, balance_after=0)
            change_latest("hold", balance_after=0)
            CreditAccount.objects.filter(pk=user.pk).update(balance=0)

        (breach,) = breaches()

        assert breach.startswith(f"account {user.pk}: balance 0 and held {predictor.price}, ")

    @pytest.mark.parametrize("change", [1, -1])
    def test_an_edited_entry(self, user: User, change: int) -> None:
        with unguarded():
            change_latest("top_up", balance_change=F("balance_change") + change)

        assert [str(user.pk) in breach for breach in breaches()] == [True]

    def test_a_deleted_entry(self, user: User) -> None:
        with unguarded():
            LedgerEntry.objects.filter(account_id=user.pk).delete()

        assert [str(user.pk) in breach for breach in breaches()] == [True]

    @pytest.mark.parametrize("field", ["balance_after", "held_after"])
    def test_a_last_entry_that_leaves_something_else(self, user: User, field: str) -> None:
        with unguarded():
            entry = change_latest("top_up", **{field: 5})

        (breach,) = breaches()

        assert f"the last one, {entry.pk}, leaves" in breach

    @pytest.mark.parametrize(
        "values", [{"subject_id": UUID(int=7)}, {"subject_id": None}, {"held_change": -1}]
    )
    def test_a_resolution_that_does_not_fit_its_hold(
        self, finished: Prediction, values: dict[str, Any]
    ) -> None:
        with unguarded():
            entry = change_latest("capture", **values)

        named = f"entry {entry.pk}: does not fit the entry {finished.hold_id} that it resolves"
        assert named in breaches()

    def test_a_resolution_in_another_account(
        self, finished: Prediction, make_user: Callable[..., User]
    ) -> None:
        other = make_user("bob@example.com")
        with unguarded():
            entry = change_latest("capture", account_id=other.pk)

        assert any(breach.startswith(f"entry {entry.pk}: does not fit") for breach in breaches())

    def test_a_refund_of_more_than_the_charge(
        self, finished: Prediction, user: User, operator: User
    ) -> None:
        charge = LedgerEntry.objects.get(kind="capture")
        services.refund_charge(capture=charge, reason="why", actor=operator)
        with unguarded():
            entry = change_latest(
                "refund",
                balance_change=F("balance_change") + 1,
                balance_after=F("balance_after") + 1,
            )
            CreditAccount.objects.filter(pk=user.pk).update(balance=F("balance") + 1)

        assert breaches() == [
            f"entry {entry.pk}: does not fit the entry {charge.pk} that it resolves"
        ]

    @pytest.mark.postgresql
    def test_what_is_resolved_twice(self, finished: Prediction, user: User, operator: User) -> None:
        charge = LedgerEntry.objects.get(kind="capture")
        for name, constraint in connection.introspection.get_constraints(
            connection.cursor(), "billing_ledgerentry"
        ).items():
            if constraint["unique"] and constraint["columns"] == ["resolves_id"]:
                connection.check_constraints()
                cursors.execute(
                    f'ALTER TABLE billing_ledgerentry DROP CONSTRAINT IF EXISTS "{name}"'
                )
        services.refund_charge(capture=charge, reason="why", actor=operator)
        entry = LedgerEntry.objects.latest("id")
        LedgerEntry.objects.create(
            account_id=user.pk,
            kind="refund",
            balance_change=entry.balance_change,
            held_change=0,
            balance_after=entry.balance_after + entry.balance_change,
            held_after=0,
            subject_id=entry.subject_id,
            resolves=charge,
            actor=user,
            reason="again",
        )
        CreditAccount.objects.filter(pk=user.pk).update(balance=F("balance") + entry.balance_change)

        assert breaches() == [f"entry {charge.pk}: is resolved more than once"]

    def test_a_finished_prediction_that_was_charged_another_price(
        self, finished: Prediction
    ) -> None:
        Prediction.objects.filter(pk=finished.pk).update(price=F("price") + 1)

        (breach,) = breaches()

        assert breach.startswith(f"prediction {finished.pk} (finished): finished without a capture")

    def test_a_charge_for_what_did_not_finish(self, finished: Prediction) -> None:
        with unguarded():
            Prediction.objects.filter(pk=finished.pk).update(
                status="failed", value=None, failure="worker_lost"
            )

        assert breaches() == [f"prediction {finished.pk} (failed): charged without having finished"]

    def test_a_second_charge_for_one_prediction(self, finished: Prediction, user: User) -> None:
        hold_id = services.place_hold(user_id=user.pk, amount=5, subject_id=uuid4())
        with unguarded():
            LedgerEntry.objects.filter(pk=hold_id).update(subject_id=uuid4())
            services.resolve_holds(captured=[hold_id])
            LedgerEntry.objects.filter(resolves=hold_id).update(subject_id=finished.pk)

        assert any(
            breach.startswith(f"prediction {finished.pk} (finished): finished without a capture")
            for breach in breaches()
        )

    def test_an_ended_prediction_whose_hold_is_open(self, submit: Submit) -> None:
        prediction = submit()
        Prediction.objects.update(status="failed", failure="worker_lost", finished_at=Now())

        assert breaches() == [f"prediction {prediction.pk} (failed): ended with an open hold"]

    def test_a_waiting_prediction_whose_hold_was_given_back(self, submit: Submit) -> None:
        prediction = Prediction.objects.get(pk=submit().pk)
        services.resolve_holds(released=[prediction.hold_id or 0])

        (breach,) = breaches()

        assert breach.startswith(f"prediction {prediction.pk} (queued): waiting or running without")

    def test_a_waiting_prediction_that_holds_another_price(self, submit: Submit) -> None:
        prediction = submit()
        Prediction.objects.update(price=F("price") - 1)

        (breach,) = breaches()

        assert breach.startswith(f"prediction {prediction.pk} (queued): waiting or running without")

    def test_a_hold_for_nothing(self, user: User) -> None:
        hold_id = services.place_hold(user_id=user.pk, amount=5, subject_id=uuid4())

        assert breaches() == [f"hold {hold_id}: no prediction names it"]

    @pytest.mark.postgresql
    @pytest.mark.parametrize("state", ["DISABLE", "ENABLE REPLICA"])
    def test_a_trigger_that_does_not_fire(self, state: str) -> None:
        cursors.execute(f"ALTER TABLE billing_ledgerentry {state} TRIGGER ledger_append_only")

        assert breaches() == ["trigger ledger_append_only: missing or disabled"]

    def test_only_so_many(self, make_user: Callable[..., User]) -> None:
        for number in range(25):
            make_user(f"user{number}@example.com", credit=1)
        CreditAccount.objects.update(balance=2)

        assert len(breaches()) == 20


def test_every_invariant_is_reported_by_its_name(user: User) -> None:
    CreditAccount.objects.filter(pk=user.pk).update(balance=F("balance") + 1)

    findings = check()

    assert [finding.invariant for finding in findings] == [item.name for item in INVARIANTS]
    others = [False] * (len(INVARIANTS) - 1)
    assert [bool(finding.breaches) for finding in findings] == [True, *others]
    assert all(finding.seconds >= 0 for finding in findings)


# --- One moment ----------------------------------------------------------------------------------


def elsewhere(call: Callable[[], Any]) -> None:
    """Run on a connection of its own, and wait for it."""

    def run() -> None:
        try:
            call()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_what_is_written_meanwhile_is_not_seen_and_not_kept_waiting(user: User) -> None:
    with snapshots.snapshot():
        before = CreditAccount.objects.get(pk=user.pk).balance

        elsewhere(lambda: services.top_up(user_id=user.pk, amount=5))

        assert CreditAccount.objects.get(pk=user.pk).balance == before
        assert LedgerEntry.objects.count() == 1
    assert CreditAccount.objects.get(pk=user.pk).balance == before + 5


@pytest.mark.django_db(transaction=True)
def test_all_invariants_see_the_same_moment(user: User) -> None:
    def entries() -> Iterator[str]:
        yield str(LedgerEntry.objects.count())

    def write() -> Iterator[str]:
        elsewhere(lambda: services.top_up(user_id=user.pk, amount=5))
        yield "written"

    findings = check([Invariant("first", [entries]), Invariant("then", [write, entries])])

    assert [finding.breaches for finding in findings] == [["1"], ["written", "1"]]
    assert LedgerEntry.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_snapshot_ends_where_something_goes_wrong(user: User) -> None:
    def fail() -> Iterator[str]:
        yield str(1 // 0)

    with pytest.raises(ZeroDivisionError):
        check([Invariant("failing", [fail])])

    services.top_up(user_id=user.pk, amount=5)
    assert CreditAccount.objects.get(pk=user.pk).balance == 1005


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_snapshot_lifts_the_statement_timeout_and_puts_it_back() -> None:
    cursors.execute("SET statement_timeout = 50")
    try:
        with snapshots.snapshot():
            cursors.fetch_one("SELECT pg_sleep(0.2)")

        assert cursors.fetch_one("SHOW statement_timeout") == ("50ms",)
        assert cursors.fetch_one("SHOW enable_nestloop") == ("on",)
        assert cursors.fetch_one("SHOW transaction_isolation") == ("read committed",)
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_running_service_shows_no_breach(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    users = [make_user(f"user{number}@example.com", credit=100_000) for number in range(3)]
    version_id: Any = predictor.current_version_id
    ended = threading.Event()
    failures: list[BaseException] = []

    def serve(user: User) -> None:
        try:
            while not ended.is_set():
                request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
                services.top_up(user_id=user.pk, amount=1)
                runner.run_queued(Prediction, version_id)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=serve, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    sentences, audits = [], 0
    while audits < 20 or Prediction.objects.filter(status="finished").count() < 10:
        sentences += breaches()
        audits += 1
    ended.set()
    for thread in threads:
        thread.join()

    assert (sentences, failures) == ([], [])


# --- The command ---------------------------------------------------------------------------------


def test_the_command_reports_as_json(
    finished: Prediction, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("audit", json=True)
    sound = json.loads(capsys.readouterr().out)
    with unguarded():
        change_latest("capture", balance_change=-1)
        with pytest.raises(SystemExit) as ended:
            call_command("audit", json=True)

    output = capsys.readouterr()
    unsound = json.loads(output.out)
    named = [breach for row in unsound["invariants"] for breach in row["breaches"]]
    assert (sound["sound"], unsound["sound"], ended.value.code) == (True, False, 1)
    assert [row["invariant"] for row in sound["invariants"]] == [row.name for row in INVARIANTS]
    assert named
    assert output.err.splitlines() == [*named, f"{len(named)} breaches found."]


# --- The page ------------------------------------------------------------------------------------


@pytest.fixture
def page() -> str:
    return reverse("admin-audit")


def staff(make_user: Callable[..., User], *permissions: str) -> Client:
    from django.contrib.auth.models import Permission

    person = make_user("staff@example.com", credit=0, is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


def test_the_index_leads_to_the_audit(make_user: Callable[..., User], page: str) -> None:
    client = staff(make_user, "view_ledgerentry")

    assert f'href="{page}"' in client.get(reverse("admin:index")).content.decode()


def test_the_page_checks_only_when_asked_to(make_user: Callable[..., User], page: str) -> None:
    client = staff(make_user, "view_ledgerentry")

    content = client.get(page).content.decode()

    assert "Check now" in content
    assert INVARIANTS[0].name not in content


def test_the_page_shows_every_invariant_and_the_time_it_took(
    make_user: Callable[..., User], page: str
) -> None:
    content = staff(make_user, "view_ledgerentry").post(page).content.decode()

    assert "Checked in 0." in content
    assert [item.name in content for item in INVARIANTS] == [True] * len(INVARIANTS)
    assert content.count("<td>OK</td>") == len(INVARIANTS)


def test_the_page_names_a_breach(make_user: Callable[..., User], user: User, page: str) -> None:
    CreditAccount.objects.filter(pk=user.pk).update(balance=F("balance") + 1)

    content = staff(make_user, "view_ledgerentry").post(page).content.decode()

    assert f"account {user.pk}: balance 1001" in content
    assert content.count("<td>OK</td>") == len(INVARIANTS) - 1


@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_a_look_at_entries_do_not_get_the_page(
    make_user: Callable[..., User], page: str, method: str
) -> None:
    client = staff(make_user, "view_prediction")

    assert getattr(client, method)(page).status_code == 403
    assert page not in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
def test_customers_and_strangers_are_asked_to_sign_in(user: User, page: str, method: str) -> None:
    customer = Client()
    customer.force_login(user)

    for client in (customer, Client()):
        response = getattr(client, method)(page)

        assert response.status_code == 302
        assert "login" in response["Location"]


def test_a_form_from_another_site_checks_nothing(make_user: Callable[..., User], page: str) -> None:
    client = staff(make_user, "view_ledgerentry")
    client.handler.enforce_csrf_checks = True

    assert client.post(page).status_code == 403

"""Whether all that was accepted was done and charged once, and everything works again."""

import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import joblib

from mlmodels.catalogue.card import Card
from mlmodels.serving.inference import Scorer
from testing import fakes
from testing.chaos.clients import ENDED, STATUSES, Load, Record, Submission, number_of
from testing.chaos.stack import DEADLINE_SECONDS, Stack
from testing.processes import Customer, Trained, eventually

RECOVERED_WITHIN = 60.0  # seconds after the last fault
WORKS_WITHIN = 60.0  # seconds for all pool processes to have taken something
SHOWN = 10  # of each kind of breach
SCORED_AGAIN = 200  # rows of each trained predictor

_ROWS = """
    SELECT p.id, u.email, m.name, p.data, p.status, p.failure, p.value, p.attempts,
        COALESCE(e.holds, 0), COALESCE(e.captures, 0), COALESCE(e.releases, 0), {span}
    FROM predictions_prediction p
    JOIN accounts_user u ON u.id = p.user_id
    JOIN mlmodels_predictor m ON m.id = p.predictor_id
    LEFT JOIN (
        SELECT subject_id, SUM(CASE WHEN kind = 'hold' THEN 1 ELSE 0 END) AS holds,
            SUM(CASE WHEN kind = 'capture' THEN 1 ELSE 0 END) AS captures,
            SUM(CASE WHEN kind = 'release' THEN 1 ELSE 0 END) AS releases
        FROM billing_ledgerentry GROUP BY subject_id
    ) e ON e.subject_id = p.id
"""
_SPAN = {
    True: "CAST(EXTRACT(EPOCH FROM p.deadline_at - p.queued_at) AS FLOAT)",
    False: "ROUND((JULIANDAY(p.deadline_at) - JULIANDAY(p.queued_at)) * 86400)",
}
# One statement, so one moment: credits are neither made nor lost, at any time.
_UNBALANCED = """
    SELECT a.user_id FROM billing_creditaccount a LEFT JOIN (
        SELECT account_id, SUM(balance_change) AS balance, SUM(held_change) AS held
        FROM billing_ledgerentry GROUP BY account_id
    ) e ON e.account_id = a.user_id
    WHERE a.balance <> COALESCE(e.balance, 0) OR a.held <> COALESCE(e.held, 0)
        OR a.held < 0 OR a.held > a.balance
"""


@dataclass(frozen=True)
class Row:
    """A prediction as the database has it, with how its hold was resolved."""

    id: str
    email: str
    model: str
    data: dict[str, Any]
    status: str
    failure: str
    value: float | None
    attempts: int
    holds: int
    captures: int
    releases: int
    deadline_seconds: float

    @property
    def power(self) -> int:
        return int(self.data["horsepower"])

    @property
    def is_commanded(self) -> bool:
        return self.model == fakes.NAME and self.power >= fakes.GATED


@dataclass
class Verdict:
    """What the checks say. Nothing is wrong if `problems` is empty."""

    predictions: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    once: int = 0  # keys that ended with exactly one task
    statuses: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        kinds = {"lost": self.lost, "doubled": self.doubled, "stuck": self.stuck, "": self.others}
        return [
            f"{kind}: {problem}" if kind else problem
            for kind, problems in kinds.items()
            for problem in problems[:SHOWN]
        ]


def check(
    stack: Stack,
    load: Load,
    trained: Trained | None = None,
    *,
    within: float = RECOVERED_WITHIN,
) -> Verdict:
    """Wait until everything accepted has ended, or time is up; then look at everything.

    First at whether each process does something new: what it was late with it has done by then.
    """
    verdict = Verdict()
    if _all_end(stack, within):
        _check_health(stack, verdict)
    rows = all_rows(stack)
    ours = [row for row in rows if row.email in set(load.emails)]
    verdict.predictions = len(ours)
    if not ours:
        verdict.others.append("nothing was accepted")
    verdict.statuses = Counter(row.failure or row.status for row in ours)
    _check_rows(ours, verdict)
    _check_submissions(ours, load.record, verdict)
    _check_polled_jobs(load.record, verdict)
    verdict.others += load.record.complaints
    verdict.others += _wrong_answers_kept(stack, load, verdict)
    verdict.others += _wrong_values(stack, ours, trained or [])
    code, said = stack.service.audit()
    if code:
        verdict.others += [f"audit: {line}" for line in said.splitlines()]
    return verdict


def all_rows(stack: Stack) -> list[Row]:
    statement = _ROWS.format(span=_SPAN[stack.postgres is not None])
    return [_row(*columns) for columns in stack.service.fetch(statement)]


def _row(key: Any, email: str, model: str, data: Any, *rest: Any) -> Row:
    """SQLite has JSON as text, and numbers of days."""
    content = json.loads(data) if isinstance(data, str) else data
    return Row(plain(key), email, model, content, *rest)


def plain(key: Any) -> str:
    return uuid.UUID(str(key)).hex


def active(stack: Stack) -> set[str]:
    """The predictions that wait or run; commands to the fake are left out."""
    question = """
        SELECT id FROM predictions_prediction WHERE status IN ('queued', 'running')
        AND CAST(data ->> 'horsepower' AS INTEGER) < %d
    """
    return {plain(key) for (key,) in stack.service.fetch(question % fakes.GATED)}


def _all_end(stack: Stack, within: float) -> bool:
    question = "SELECT count(*) FROM predictions_prediction WHERE status IN ('queued', 'running')"
    ends = time.monotonic() + within
    while stack.service.fetch(question)[0][0]:
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


def unbalanced(stack: Stack) -> list[str]:
    return [f"account {key}: does not add up" for (key,) in stack.service.fetch(_UNBALANCED)]


# --- Rows ----------------------------------------------------------------------------------------


def _check_rows(rows: list[Row], verdict: Verdict) -> None:
    for row in rows:
        name = f"{row.id} ({row.model} {row.power}, {row.failure or row.status})"
        if row.status not in ENDED:
            verdict.stuck.append(name)
            continue
        if row.failure == "deadline_exceeded" and row.deadline_seconds >= DEADLINE_SECONDS - 1:
            verdict.stuck.append(f"{name}: only its deadline ended it")
        if row.captures + row.releases > 1 or row.holds > 1:
            verdict.doubled.append(f"{name}: {row.captures} charges, {row.releases} releases")
        finished = row.status == "finished"
        if (row.holds, row.captures, row.releases) != (1, int(finished), int(not finished)):
            verdict.others.append(
                f"{name}: {row.holds} holds, {row.captures} charges, {row.releases} releases"
            )
        verdict.others += _wrong_end(row, name)


def _wrong_end(row: Row, name: str) -> Iterator[str]:
    """What no fault excuses: an end that the input does not explain."""
    must_fail = {fakes.RAISE, fakes.DIE, fakes.EXHAUST}
    if row.model == fakes.NAME and row.power in must_fail:
        if row.status == "finished":
            yield f"{name}: finished"
    elif row.failure in {"invalid_input", "internal_error"}:
        yield f"{name}: failed"
    if row.model == fakes.NAME and row.status == "finished" and row.value != 100 * row.power:
        yield f"{name}: its result is {row.value}"


def _wrong_values(stack: Stack, rows: list[Row], trained: Trained) -> Iterator[str]:
    """A row of a batch has the result it has alone."""
    for _, spec, card in trained:
        finished = [row for row in rows if row.model == spec.name and row.status == "finished"]
        scorer = _scorer(stack, spec.name, card)
        for row in finished[-SCORED_AGAIN:]:
            (value,) = scorer.predict([row.data])
            if row.value is None or not math.isclose(row.value, value, rel_tol=1e-9):
                yield f"{row.id} ({spec.name}): its result is {row.value}, alone {value}"


def _scorer(stack: Stack, name: str, card: Card) -> Scorer:
    columns = [feature["name"] for feature in card.signature]
    return Scorer(joblib.load(stack.artefacts[name]), columns)


# --- What clients were answered ------------------------------------------------------------------


def _check_submissions(rows: list[Row], record: Record, verdict: Verdict) -> None:
    stored: dict[tuple[str, int], list[str]] = {}
    for row in rows:
        stored.setdefault((row.email, number_of(row.data["wheelbase"])), []).append(row.id)
    for submission in record.submissions:
        stored_ids = stored.pop((submission.email, submission.number), [])
        _check_submission(submission, stored_ids, verdict)
    verdict.others += [f"{keys}: nobody submitted this" for keys in stored.values()]


def _check_submission(submission: Submission, stored_ids: list[str], verdict: Verdict) -> None:
    name = f"submission {submission.number} of {submission.email}"
    answered_ids = {plain(job_id) for job_id, _ in submission.accepted}
    if lost := answered_ids - set(stored_ids):
        verdict.lost.append(f"{name}: {sorted(lost)}")
    if len(stored_ids) > 1 or len(answered_ids) > 1:
        verdict.doubled.append(
            f"{name}: was answered {sorted(answered_ids)}, stored are {stored_ids}"
        )
    if stored_ids and not answered_ids and not submission.unknown:
        verdict.others.append(f"{name}: was refused {submission.refused}, but is stored")
    firsts = sum(not replayed for _, replayed in submission.accepted)
    if firsts > 1 or (submission.accepted and not firsts and not submission.unknown):
        verdict.others.append(f"{name}: {firsts} first answers of {len(submission.accepted)}")
    verdict.once += len(stored_ids) == 1


def _wrong_answers_kept(stack: Stack, load: Load, verdict: Verdict) -> Iterator[str]:
    """A key is kept together with its task, or not at all."""
    question = """
        SELECT u.email, a.status FROM idempotency_idempotencykey a
        JOIN accounts_user u ON u.id = a.user_id
    """
    ours = set(load.emails)
    kept = Counter(status for email, status in stack.service.fetch(question) if email in ours)
    if kept != Counter({202: verdict.predictions}):
        yield f"{verdict.predictions} tasks, but the answers kept under keys have {dict(kept)}"


def _check_polled_jobs(record: Record, verdict: Verdict) -> None:
    for polled in record.polled_predictions:
        seen = polled.statuses
        ends = [place for place, status in enumerate(seen) if status in ENDED]
        if not set(seen) <= STATUSES or len(set(seen[ends[0] :] if ends else [])) > 1:
            verdict.others.append(f"job {polled.job_id}: was seen {seen}")
        if len(polled.results) > 1:
            verdict.others.append(f"job {polled.job_id}: had results {polled.results}")


def stale_finishes(stack: Stack) -> int:
    """How often a worker was refused rows that were no longer its own."""
    return stack.service.logs().count("were no longer ours to settle")


# --- Everything works again ----------------------------------------------------------------------


def _check_health(stack: Stack, verdict: Verdict) -> None:
    """Nothing is left behind, and every process of every worker works."""
    for health_check in (
        _every_pool_process_works,
        _no_orphans,
        _no_messages_are_left,
        _no_sessions,
    ):
        try:
            verdict.notes += health_check(stack)
        except AssertionError as error:
            verdict.others.append(f"{health_check.__name__.strip('_').replace('_', ' ')}: {error}")


def _every_pool_process_works(stack: Stack) -> Iterator[str]:
    """Each in turn takes a prediction and waits with it, until all wait.

    The processes are looked up each time: one that was told to die may still do so.
    """
    ada = Customer(stack.addresses[0])
    ends = time.monotonic() + WORKS_WITHIN
    with stack.service.closed_gate():
        while (idle := _not_waiting(stack)) and time.monotonic() < ends:
            ada.command(fakes.GATED)
            time.sleep(0.2)
    assert not idle, f"{idle} take nothing"
    eventually(lambda: ada.job_ids("/running") == [], within=40)
    yield f"all pool processes of {len(stack.workers)} workers score"


def _not_waiting(stack: Stack) -> dict[str, set[int]]:
    waiting = set(stack.service.waiting())
    pools = {name: set(stack.programs[name].children()) for name in stack.workers}
    return {name: pids - waiting for name, pids in pools.items() if pids - waiting}


def _no_orphans(stack: Stack) -> Iterator[str]:
    eventually(lambda: not stack.orphans(), within=30)
    yield "no process is left behind"


def _no_sessions(stack: Stack) -> Iterator[str]:
    if stack.postgres:
        assert not stack.postgres.idle_in_transaction(), "a session left its transaction open"
        yield "no session is idle in a transaction"


def _no_messages_are_left(stack: Stack) -> Iterator[str]:
    """Nothing waits, so whatever message is left does nothing; and soon none is."""
    if stack.kind == "embedded":
        queue = stack.service.var / "broker" / "predictions"
        eventually(lambda: not list(queue.glob("[0-9]*.msg")), within=30)
        bad = len(list(queue.glob(".bad-*")))
        assert bad == stack.junk, f"{bad} files were set aside, {stack.junk} were junk"
        litter = [path for path in queue.glob(".*") if not path.name.startswith(".bad-")]
        yield f"no message is left; {len(litter)} files of killed processes are"
    elif broker := stack.broker:
        eventually(lambda: broker.messages() == 0, within=30)
        yield "no message is left"

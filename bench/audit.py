"""`make bench-audit`: time the audit of a million ledger entries, then see it name what is broken.

Needs DATABASE_URL to name a PostgreSQL, as a superuser; works in a scratch database there.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

import psycopg
from run import ROOT, environment, scratch_database

LIMIT_SECONDS = 10

PREDICTOR = """
INSERT INTO mlmodels_predictor (name, domain, title, algorithm, summary, price, enabled)
VALUES ('bench', 'car_price', '', '', '', 10, TRUE) RETURNING id
"""
VERSION = """
INSERT INTO mlmodels_predictorversion (id, predictor_id, number, target, unit, signature, metrics,
    artefact_sha256, artefact_format, sklearn_version, libraries, data_sha256, seed, trained_at,
    fault)
VALUES (gen_random_uuid(), %s, 1, '', '', '[]', '{}', '', 1, '', '{}', '', 1, NOW(), '')
RETURNING id
"""
USERS = """
CREATE TEMP TABLE person AS
SELECT number, gen_random_uuid() AS id FROM generate_series(0, {users} - 1) AS number;
INSERT INTO accounts_user (id, email, name, password, is_superuser, is_staff, is_active)
SELECT id, 'user' || number || '@example.com', '', '!', FALSE, FALSE, TRUE FROM person;
INSERT INTO billing_creditaccount (user_id, balance, held) SELECT id, 0, 0 FROM person
"""
# Of a hundred predictions 90 are charged, of which one is refunded; 8 are released, one is running
# and one was a draft. Every user takes one step after the other, and all take turns.
TASKS = """
CREATE TEMP TABLE task AS
SELECT number, number % {users} AS owner, 3 * (number / {users}) AS step, gen_random_uuid() AS id,
    (ARRAY[10, 25, 40])[1 + number % 3] AS price,
    CASE WHEN number % 100 < 90 THEN 'finished' WHEN number % 100 < 95 THEN 'failed'
        WHEN number % 100 = 98 THEN 'running' ELSE 'canceled' END AS status,
    number % 100 <> 99 AS was_queued
FROM generate_series(0, {predictions} - 1) AS number
"""
STEPS = """
CREATE TEMP TABLE step AS
SELECT ROW_NUMBER() OVER (ORDER BY step, owner) AS id, moves.* FROM (
    SELECT NULL::int AS number, owner, -1 AS step, 'top_up' AS kind, 1000000 AS change, 0 AS held
        FROM generate_series(0, {users} - 1) AS owner
    UNION ALL SELECT number, owner, step, 'hold', 0, price FROM task WHERE was_queued
    UNION ALL SELECT number, owner, step + 1, 'capture', -price, -price
        FROM task WHERE status = 'finished'
    UNION ALL SELECT number, owner, step + 1, 'release', 0, -price
        FROM task WHERE was_queued AND status IN ('failed', 'canceled')
    UNION ALL SELECT number, owner, step + 2, 'refund', price, 0 FROM task WHERE number % 100 = 0
) AS moves
"""
ENTRIES = """
INSERT INTO billing_ledgerentry (id, account_id, kind, balance_change, held_change, balance_after,
    held_after, subject_id, resolves_id, actor_id, reason, created_at)
SELECT step.id, person.id, step.kind, step.change, step.held,
    SUM(step.change) OVER running, SUM(step.held) OVER running, task.id,
    CASE step.kind WHEN 'refund' THEN capture.id WHEN 'hold' THEN NULL ELSE hold.id END,
    CASE step.kind WHEN 'refund' THEN person.id END,
    CASE step.kind WHEN 'refund' THEN 'bench' ELSE '' END,
    NOW() - INTERVAL '1 day' + step.id * INTERVAL '10 milliseconds'
FROM step JOIN person ON person.number = step.owner
    LEFT JOIN task ON task.number = step.number
    LEFT JOIN step AS hold ON hold.number = step.number AND hold.kind = 'hold'
    LEFT JOIN step AS capture ON capture.number = step.number AND capture.kind = 'capture'
WINDOW running AS (PARTITION BY step.owner ORDER BY step.id)
ORDER BY step.id
"""
PREDICTIONS = """
INSERT INTO predictions_prediction (id, user_id, predictor_id, version_id, status, price, data,
    defaulted, queued_at, started_at, finished_at, value, failure, hold_id, claim,
    lease_expires_at, deadline_at, attempts)
SELECT task.id, person.id, %s, %s, task.status, task.price, '{"horsepower": 100}', '[]',
    CASE WHEN was_queued THEN NOW() END, CASE WHEN was_queued THEN NOW() END,
    CASE WHEN status <> 'running' THEN NOW() END,
    CASE WHEN status = 'finished' THEN 1.5 END,
    CASE WHEN status = 'failed' THEN 'worker_lost' ELSE '' END, hold.id,
    CASE WHEN status = 'running' THEN gen_random_uuid() END,
    CASE WHEN status = 'running' THEN NOW() + INTERVAL '1 hour' END,
    CASE WHEN was_queued THEN NOW() + INTERVAL '1 hour' END, 1
FROM task JOIN person ON person.number = task.owner
    LEFT JOIN step AS hold ON hold.number = task.number AND hold.kind = 'hold'
"""
SEQUENCE = """
SELECT SETVAL(PG_GET_SERIAL_SEQUENCE('billing_ledgerentry', 'id'), MAX(id))
FROM billing_ledgerentry
"""
ACCOUNTS = """
UPDATE billing_creditaccount AS account SET balance = total.balance, held = total.held
FROM (SELECT account_id, SUM(balance_change) AS balance, SUM(held_change) AS held
    FROM billing_ledgerentry GROUP BY account_id) AS total
WHERE account.user_id = total.account_id
"""


def user(number: int) -> str:
    return f"(SELECT id FROM person WHERE number = {number})"


def latest(number: int) -> str:
    """A user's last entry."""
    return f"(SELECT MAX(id) FROM billing_ledgerentry WHERE account_id = {user(number)})"


def one(number: int, status: str) -> str:
    """A prediction of a user in some status."""
    return f"""(SELECT id FROM predictions_prediction
        WHERE user_id = {user(number)} AND status = '{status}' AND hold_id IS NOT NULL LIMIT 1)"""


UNGUARD = """
ALTER TABLE billing_creditaccount DROP CONSTRAINT account_not_overdrawn;
ALTER TABLE billing_ledgerentry DROP CONSTRAINT entry_leaves_account_sound,
    DROP CONSTRAINT billing_ledgerentry_resolves_id_key,
    DISABLE TRIGGER ledger_append_only
"""
# What each breaks, for a user or a prediction of its own; what the audit must say of the row that
# the statement returns.
PLANTS = {
    "a user without an account": (
        f"DELETE FROM billing_creditaccount WHERE user_id = {user(0)} RETURNING user_id",
        "user {}: has no credit account",
    ),
    "a balance that its entries do not give": (
        f"""UPDATE billing_creditaccount SET balance = balance + 1
            WHERE user_id = {user(1)} RETURNING user_id""",
        "account {}: balance",
    ),
    "credits held that no entry holds": (
        f"""UPDATE billing_creditaccount SET held = held + 1
            WHERE user_id = {user(2)} RETURNING user_id""",
        "account {}: balance",
    ),
    "more held than the balance": (
        f"""WITH spent AS (
            UPDATE billing_creditaccount SET balance = held - 1 WHERE user_id = {user(3)}
            RETURNING user_id, held - 1 - (SELECT SUM(balance_change) FROM billing_ledgerentry
                WHERE account_id = user_id) AS change
        ), left_over AS (
            UPDATE billing_ledgerentry SET balance_after = balance_after + spent.change
            FROM spent WHERE id = {latest(3)}
        )
        UPDATE billing_ledgerentry SET balance_change = balance_change + spent.change
        FROM spent WHERE account_id = user_id AND kind = 'top_up' RETURNING user_id""",
        "account {}: balance",
    ),
    "an edited entry": (
        f"""UPDATE billing_ledgerentry SET balance_change = balance_change + 1
            WHERE kind = 'top_up' AND account_id = {user(4)} RETURNING account_id""",
        "account {}: balance",
    ),
    "a deleted entry": (
        f"""DELETE FROM billing_ledgerentry
            WHERE kind = 'top_up' AND account_id = {user(5)} RETURNING account_id""",
        "account {}: balance",
    ),
    "a last entry that leaves something else": (
        f"UPDATE billing_ledgerentry SET balance_after = 0 WHERE id = {latest(6)} RETURNING id",
        "the last one, {}, leaves",
    ),
    "a charge that does not fit its hold": (
        f"""UPDATE billing_ledgerentry SET held_change = held_change - 1
            WHERE kind = 'capture' AND subject_id = {one(7, "finished")} RETURNING id""",
        "entry {}: does not fit",
    ),
    "a refund of another amount": (
        f"""UPDATE billing_ledgerentry SET balance_change = balance_change + 1
            WHERE id = (SELECT MAX(id) FROM billing_ledgerentry
                WHERE kind = 'refund' AND account_id = {user(100)}) RETURNING id""",
        "entry {}: does not fit",
    ),
    "a charge that is refunded twice": (
        f"""INSERT INTO billing_ledgerentry (account_id, kind, balance_change, held_change,
                balance_after, held_after, subject_id, resolves_id, actor_id, reason)
            SELECT account_id, kind, balance_change, held_change, balance_after, held_after,
                subject_id, resolves_id, actor_id, reason
            FROM billing_ledgerentry WHERE kind = 'refund' AND account_id = {user(200)} LIMIT 1
            RETURNING resolves_id""",
        "entry {}: is resolved more than once",
    ),
    "a finished prediction that was charged another price": (
        f"""UPDATE predictions_prediction SET price = price + 1
            WHERE id = {one(8, "finished")} RETURNING id""",
        "prediction {} (finished): finished without a capture",
    ),
    "a charge for what did not finish": (
        f"""UPDATE predictions_prediction SET status = 'failed', value = NULL, failure = 'x'
            WHERE id = {one(9, "finished")} RETURNING id""",
        "prediction {} (failed): charged without",
    ),
    "an ended prediction whose hold is open": (
        f"""UPDATE predictions_prediction
            SET status = 'failed', failure = 'x', finished_at = NOW()
            WHERE id = {one(98, "running")} RETURNING id""",
        "prediction {} (failed): ended with an open hold",
    ),
    "a running prediction that holds another price": (
        f"""UPDATE predictions_prediction SET price = price + 1
            WHERE id = {one(198, "running")} RETURNING id""",
        "prediction {} (running): waiting or running without",
    ),
    "a hold for nothing": (
        f"""DELETE FROM predictions_prediction
            WHERE id = {one(11, "finished")} RETURNING hold_id""",
        "hold {}: no prediction names it",
    ),
    "a prediction that runs for ever": (
        f"""UPDATE predictions_prediction SET queued_at = NOW() - INTERVAL '1 day'
            WHERE id = {one(298, "running")} RETURNING id""",
        "prediction {} (running): not ended",
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=506_000, help="about two entries each")
    parser.add_argument("--users", type=int, default=2_000)
    options = parser.parse_args()
    database = os.environ.get("DATABASE_URL", "")
    if not database.startswith("postgres"):
        print("left out: the audit of a large ledger (set DATABASE_URL to a PostgreSQL)")
        return 0
    with tempfile.TemporaryDirectory() as var, scratch_database(database) as url:
        env = environment(var, DATABASE_URL=url)
        manage("migrate", "--verbosity", "0", env=env)
        with psycopg.connect(url, autocommit=True) as connection:
            entries = fill(connection, options.users, options.predictions)
            print(f"{entries:,} ledger entries, {options.predictions:,} predictions")
            in_time = measure(env)
            planted = plant(connection)
        found = manage("audit", env=env).stderr
    for name, sentence in planted.items():
        print(f"{'named' if sentence in found else 'NOT NAMED'}: {name}")
    return 0 if in_time and all(sentence in found for sentence in planted.values()) else 1


def manage(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True, text=True)


def fill(connection: psycopg.Connection[Any], users: int, predictions: int) -> int:
    """Write a consistent ledger; returns the number of its entries."""
    connection.execute("SET session_replication_role = replica")  # neither triggers nor keys
    connection.execute("SET work_mem = '256MB'")
    predictor = connection.execute(PREDICTOR).fetchone() or ()
    version = connection.execute(VERSION, predictor).fetchone() or ()
    for statement in (USERS, TASKS, STEPS):
        connection.execute(statement.format(users=users, predictions=predictions))
    connection.execute("ANALYZE")
    connection.execute(ENTRIES)
    connection.execute(PREDICTIONS, [*predictor, *version])
    connection.execute(ACCOUNTS)
    connection.execute("VACUUM ANALYZE")  # as the server does by itself in time
    row = connection.execute(SEQUENCE).fetchone() or (0,)
    return int(row[0])


def measure(env: dict[str, str]) -> bool:
    """Time `manage.py audit`; returns whether it found all well within the limit."""
    started = time.perf_counter()
    audit = manage("audit", "--verbosity", "2", env=env)
    seconds = time.perf_counter() - started
    print(f"{audit.stdout}{audit.stderr}audit: {seconds:.1f} s with the start of Python")
    return audit.returncode == 0 and seconds < LIMIT_SECONDS


def plant(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Break everything once; returns what the audit has to say of each."""
    connection.execute(UNGUARD)
    named = {"a trigger that is switched off": "trigger ledger_append_only: missing or disabled"}
    for name, (statement, sentence) in PLANTS.items():
        row = connection.execute(statement).fetchone()
        assert row, name
        named[name] = sentence.format(row[0])
    return named


if __name__ == "__main__":
    sys.exit(main())

"""The core works where each transaction has another connection, as behind PgBouncer."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from testing.servers import PgBouncer

CORE = [
    "accounts/tests/test_tokens.py",
    "billing/tests/test_ledger.py",
    "billing/tests/test_races.py",
    "predictions/tests/test_execution.py",
    "predictions/tests/test_races.py",
    "predictions/tests/test_changed_offers.py",
    "predictions/tests/test_idempotency_races.py",
    "predictions/tests/test_long_history.py",
    "carprice/tests/test_root_contract.py",
]


@pytest.mark.postgresql
@pytest.mark.pgbouncer
def test_the_core_behind_a_real_pooler() -> None:
    with tempfile.TemporaryDirectory() as directory:  # that its own user may enter
        run_core(Path(directory))


def run_core(directory: Path) -> None:
    server = connection.settings_dict
    direct = make_conninfo(
        host=server["HOST"], port=server["PORT"] or 5432, user=server["USER"],
        password=server["PASSWORD"] or None, dbname="postgres",
    )  # fmt: skip
    pooler = PgBouncer(directory, direct)
    name = f"pooled_{os.getpid()}"
    with psycopg.connect(direct, autocommit=True) as database, pooler.running():
        try:
            ran = subprocess.run(
                # It keeps its database: the pooler has connections to it still.
                [sys.executable, "-m", "pytest", "-q", "-x", "--reuse-db", *CORE],
                cwd=settings.BASE_DIR,
                env={
                    **os.environ,
                    "DATABASE_URL": f"{pooler.url}/{name}",
                    "DATABASE_TRANSACTION_POOLING": "true",
                    "REQUIRE_ALL": "",
                },
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            database.execute(f"DROP DATABASE IF EXISTS test_{name} WITH (FORCE)".encode())

    assert ran.returncode == 0, ran.stdout[-5000:]
    assert " passed" in ran.stdout

"""Putting a backup into a database, all of it or nothing."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from django.db import connection
from django.db.migrations.loader import MigrationLoader

from carprice.management.backups import (
    DUMPS,
    BackupError,
    Manifest,
    run_program,
    server_version,
    unpacked,
)
from mlmodels.serving import artefacts

# In the transaction that restores: whoever still uses the database is not waited for.
_EMPTY = "SET lock_timeout = '10s'; DROP SCHEMA public CASCADE; CREATE SCHEMA public;\n"


def restore(path: Path, *, force: bool) -> Manifest:
    """Restore a backup into an empty database, or with `force` in the place of what is there.

    Raises BackupError, and then has changed nothing.
    """
    with unpacked(path, _check) as (manifest, folder):
        if not force and connection.introspection.table_names():
            raise BackupError("The database is not empty; --force replaces all that is in it.")
        for model in sorted((folder / "models").iterdir()):
            artefacts.save_content(model.read_bytes())
        dump = folder / DUMPS[manifest.vendor]
        if manifest.vendor == "postgresql":
            connection.close()
            _restore_postgresql(dump, force=force)
        else:
            _restore_sqlite(dump)
    return manifest


def _check(manifest: Manifest) -> None:
    """Raise BackupError unless this release and this database can take the backup."""
    if manifest.vendor != connection.vendor:
        raise BackupError(
            f"It is of {manifest.vendor}, and DATABASE_URL names {connection.vendor}."
        )
    if manifest.vendor == "postgresql" and manifest.server > server_version():
        raise BackupError(f"It is of PostgreSQL {manifest.server}, and this is {server_version()}.")
    known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations or {}
    unknown = [
        f"{app}.{name}"
        for app, names in manifest.migrations.items()
        for name in names
        if (app, name) not in known
    ]
    if unknown:
        raise BackupError(
            f"It is of release {manifest.release}, which is newer than this one: "
            f"{unknown[0]} is not known here."
        )


def _restore_postgresql(dump: Path, *, force: bool) -> None:
    """As a script in one transaction, so that what was there stays if any of it fails."""
    script = dump.with_suffix(".sql")
    with script.open("wb") as target:
        if force:
            target.write(_EMPTY.encode())
            target.flush()
        run_program(
            "pg_restore", "--no-owner", "--no-privileges", "--file=-", str(dump), stdout=target
        )
    run_program(
        "psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1",
        f"--file={script}", stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _restore_sqlite(dump: Path) -> None:
    """By the same online backup, the other way round: one transaction of the target."""
    connection.ensure_connection()
    with closing(sqlite3.connect(dump)) as copy:
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise BackupError("The database in it is damaged.")
        copy.backup(connection.connection)
    connection.close()

"""Triggers for what check constraints cannot say, because it is about more than one row.

- An entry is never updated or deleted, by whatever means: the ORM, SQL, TRUNCATE.
- An entry that resolves another fits it: it is of the same account and subject, a capture or a
  release ends the whole of a hold, and a refund gives back the whole of a capture.

That an entry is resolved at most once is a unique constraint and needs no trigger.

On SQLite two more things can remove an entry or a trigger. INSERT OR REPLACE deletes the row it
collides with without firing the delete trigger, so one more trigger refuses it. A migration that
rebuilds the table drops the table's triggers, so it must run `create` again; the audit tells if
one is missing.
"""

from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

APPEND_ONLY = "ledger entries are never edited or deleted"
MISMATCH = "a resolution must end the whole of a hold, or give back the whole of a charge"

# Whether the entry `resolved` is one that the entry NEW may resolve.
FITS = """
    resolved.id = NEW.resolves_id AND resolved.account_id = NEW.account_id
        AND (resolved.subject_id = NEW.subject_id
            OR (resolved.subject_id IS NULL AND NEW.subject_id IS NULL))
        AND CASE NEW.kind
            WHEN 'refund' THEN
                resolved.kind = 'capture' AND resolved.balance_change = -NEW.balance_change
            ELSE resolved.kind = 'hold' AND resolved.held_change = -NEW.held_change
        END
"""

POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{APPEND_ONLY}' USING ERRCODE = 'restrict_violation';
END $$;
CREATE OR REPLACE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
CREATE OR REPLACE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

CREATE OR REPLACE FUNCTION ledger_check_resolution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_ledgerentry AS resolved WHERE {FITS}) THEN
        RAISE EXCEPTION '{MISMATCH}' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER ledger_resolution_fits BEFORE INSERT ON billing_ledgerentry
    FOR EACH ROW WHEN (NEW.resolves_id IS NOT NULL)
    EXECUTE FUNCTION ledger_check_resolution();
"""

SQLITE = [
    f"""CREATE TRIGGER ledger_append_only BEFORE UPDATE ON billing_ledgerentry
    BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    f"""CREATE TRIGGER ledger_no_truncate BEFORE DELETE ON billing_ledgerentry
    BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    f"""CREATE TRIGGER ledger_resolution_fits BEFORE INSERT ON billing_ledgerentry
    WHEN NEW.resolves_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM billing_ledgerentry AS resolved WHERE {FITS})
    BEGIN SELECT RAISE(ABORT, '{MISMATCH}'); END""",
    # For INSERT OR REPLACE: refuses an entry that collides with another in any unique column.
    f"""CREATE TRIGGER ledger_no_replace BEFORE INSERT ON billing_ledgerentry
    WHEN EXISTS (
        SELECT 1 FROM billing_ledgerentry AS entry
        WHERE entry.id = NEW.id OR entry.resolves_id = NEW.resolves_id
            OR (entry.kind = 'hold' AND NEW.kind = 'hold' AND entry.subject_id = NEW.subject_id)
    )
    BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
]


def names() -> set[str]:
    """The triggers that this database must have."""
    common = {"ledger_append_only", "ledger_no_truncate", "ledger_resolution_fits"}
    return common if connection.vendor == "postgresql" else common | {"ledger_no_replace"}


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create or replace all of them; a step of a migration."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL)
        return
    for name in names():
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")
    for statement in SQLITE:
        schema_editor.execute(statement)

"""The transactional outbox: whatever ends a prediction writes its deliveries as well.

A trigger does, in the statement that sets `finished_at`, for each endpoint of the prediction's user
that is switched on. So there is a delivery exactly if the end was committed: by a settlement, a
sweep, a cancellation, an operator's SQL, and by whatever will end predictions one day.

The other way would be a sweep that looks for what has ended since its last look. Ends become
visible in the order of their commits, while `finished_at` is from the beginning of a statement, and
clocks are set back: such a cursor is right only if it waits for the oldest transaction there is,
and it costs as many queries as the sweep does rounds.

What it costs: somebody without endpoints one look into an index for a row that ends; a submission,
a claim and a retry one comparison for a row. No statement is added and no round trip. It takes no
lock: there are no foreign keys to check, so an endpoint that is just being changed or deleted holds
no settlement up. A delivery whose endpoint is gone is sent by nobody, and purged.
"""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

NAME = "webhooks_prediction_ended"

_ENDED = "NEW.finished_at IS NOT NULL AND OLD.finished_at IS NULL"
# The other columns have defaults. What has ended stays so, so nothing conflicts; if it ever did, a
# prediction's end is worth more than a second delivery of it.
_INSERT = """
    INSERT INTO webhooks_delivery (id, endpoint_id, prediction_id, kind)
    SELECT {id}, id, NEW.id, 'prediction.' || NEW.status
    FROM webhooks_endpoint WHERE user_id = NEW.user_id AND disabled_at IS NULL
    ON CONFLICT DO NOTHING;
"""

POSTGRESQL = [
    f"""CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {_INSERT.format(id="gen_random_uuid()")}
        RETURN NULL;
    END $$""",
    f"""CREATE OR REPLACE TRIGGER {NAME}
    AFTER UPDATE OF finished_at ON predictions_prediction
    FOR EACH ROW WHEN ({_ENDED}) EXECUTE FUNCTION {NAME}()""",
]
SQLITE = f"""CREATE TRIGGER IF NOT EXISTS {NAME}
    AFTER UPDATE OF finished_at ON predictions_prediction WHEN {_ENDED}
    BEGIN {_INSERT.format(id="LOWER(HEX(RANDOMBLOB(16)))")} END"""


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    on_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in POSTGRESQL if on_postgresql else [SQLITE]:
        schema_editor.execute(statement)


def drop(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP FUNCTION IF EXISTS {NAME} CASCADE")
    else:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {NAME}")


def restore(connection: Any) -> None:
    """Make SQLite's trigger anew where both of its tables are there."""
    tables = set(connection.introspection.table_names())
    if {"predictions_prediction", "webhooks_delivery"} <= tables:
        with connection.cursor() as cursor:
            cursor.execute(SQLITE)

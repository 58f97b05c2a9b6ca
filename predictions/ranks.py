"""The queue rank of a new row, in SQL; `predictions.queue` says what ranks are for.

On PostgreSQL it is a function, because the statement that submits a row first waits for the lock of
the user's account. What it reads itself is the state of before that, in which a row that was
submitted meanwhile is missing; the queries of a volatile function see the state of when they begin.
"""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Even ranks are of users who had no row waiting, odd ones of those who had: `| 1` makes both odd.
AFTER_OWN = """COALESCE((
    SELECT (MAX(queue_rank) | 1) + 2 FROM predictions_prediction
    WHERE user_id = {user} AND version_id = {version} AND status = 'queued'
), 0)"""
AFTER_LOWEST = """COALESCE((
    SELECT (MIN(queue_rank) | 1) + 1 FROM predictions_prediction
    WHERE version_id = {version} AND status = 'queued' AND queue_rank >= 0
), 0)"""

CALL = {
    "postgresql": "prediction_next_rank({user}, {version})",
    "sqlite": f"MAX({AFTER_OWN}, {AFTER_LOWEST})",
}
RANK = f"GREATEST({AFTER_OWN}, {AFTER_LOWEST})".format(user="of_user", version="of_version")
FUNCTION = f"""
CREATE OR REPLACE FUNCTION prediction_next_rank(of_user uuid, of_version uuid) RETURNS bigint
VOLATILE LANGUAGE plpgsql AS $$ BEGIN RETURN {RANK}; END $$
"""


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTION)

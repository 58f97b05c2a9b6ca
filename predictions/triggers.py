"""What check constraints cannot say: a terminal status is for ever."""

from django.db.backends.base.schema import BaseDatabaseSchemaEditor

FINAL = "an ended prediction never changes its status"

POSTGRESQL = [
    f"""CREATE OR REPLACE FUNCTION prediction_refuse_revival() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '{FINAL}' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    """CREATE OR REPLACE TRIGGER prediction_status_final
    BEFORE UPDATE OF status ON predictions_prediction
    FOR EACH ROW WHEN (
        OLD.status IN ('finished', 'failed', 'canceled') AND NEW.status <> OLD.status
    )
    EXECUTE FUNCTION prediction_refuse_revival()""",
]
SQLITE = [
    f"""CREATE TRIGGER prediction_status_final BEFORE UPDATE OF status ON predictions_prediction
    WHEN OLD.status IN ('finished', 'failed', 'canceled') AND NEW.status <> OLD.status
    BEGIN SELECT RAISE(ABORT, '{FINAL}'); END""",
]

NAMES = {"prediction_status_final"}


def create(apps: object, schema_editor: BaseDatabaseSchemaEditor) -> None:
    on_postgresql = schema_editor.connection.vendor == "postgresql"
    for statement in POSTGRESQL if on_postgresql else SQLITE:
        schema_editor.execute(statement)

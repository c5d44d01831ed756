from collections.abc import Callable

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from audit.triggers import triggers_of_rows, triggers_of_statements

# A trigger for a statement has every row of it copied, before anybody knows whether it is told: of a billing run, that was
# a tenth of the database's work, for nothing. A row's trigger has a condition, and costs nothing where that does not hold.
NOTE = """
CREATE FUNCTION audit_note_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    key CONSTANT text := TG_ARGV[0];
    secret CONSTANT text[] := TG_ARGV[1];
    unheeded CONSTANT text[] := TG_ARGV[2];
    actor CONSTANT jsonb := NULLIF(current_setting('tollbook.actor', true), '');
    gone CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    come CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF TG_OP = 'UPDATE' AND gone ->> key IS DISTINCT FROM come ->> key THEN
        -- One row is gone, and another is there.
        PERFORM audit_keep(TG_TABLE_NAME, key, 'delete', gone, NULL, secret, unheeded, actor);
        PERFORM audit_keep(TG_TABLE_NAME, key, 'insert', NULL, come, secret, unheeded, actor);
    ELSE
        PERFORM audit_keep(TG_TABLE_NAME, key, lower(TG_OP), gone, come, secret, unheeded, actor);
    END IF;
    RETURN NULL;
END $$;
"""

# What every audited table has, of rows or of statements: all that its triggers are told.
_AUDITED = """
SELECT tgrelid::regclass::text, string_to_array(encode(tgargs, 'escape'), '\\000')
  FROM pg_trigger WHERE tgname = 'audit_truncate' ORDER BY 1
"""


def _make_again(schema_editor: BaseDatabaseSchemaEditor, triggers: Callable[..., str]) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(_AUDITED)
        tables = cursor.fetchall()
    for table, (*arguments, _end) in tables:
        schema_editor.execute(triggers(table, *arguments))


def by_row(_: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _make_again(schema_editor, triggers_of_rows)


def by_statement(_: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    _make_again(schema_editor, triggers_of_statements)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_what_is_audited")]

    operations = [
        migrations.RunSQL(NOTE, "DROP FUNCTION audit_note_row"),
        migrations.RunPython(by_row, by_statement),
    ]

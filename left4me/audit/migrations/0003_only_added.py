"""The database itself refuses to change or remove entries.

Two things stay possible: the link to a deleted account turns null, and what is older than a year goes.
On SQLite, a later migration that alters this table rebuilds it and loses the triggers: it has to call `add` again.
"""

from django.db import migrations

_KEPT_COLUMNS = ("id", "created_at", "actor", "action", "target", "address", "details")

_SQLITE = {
    "audit_entries_stay_as_they_are": """
        CREATE TRIGGER audit_entries_stay_as_they_are BEFORE UPDATE ON audit_auditentry
        WHEN NOT (NEW.user_id IS NULL AND {unchanged})
        BEGIN SELECT RAISE(ABORT, 'audit entries are only added, never changed'); END
    """.format(unchanged=" AND ".join(f"NEW.{c} IS OLD.{c}" for c in _KEPT_COLUMNS)),
    "audit_entries_stay": """
        CREATE TRIGGER audit_entries_stay BEFORE DELETE ON audit_auditentry
        WHEN OLD.created_at > datetime('now', '-364 days')
        BEGIN SELECT RAISE(ABORT, 'audit entries are only added, never removed'); END
    """,
}

_POSTGRESQL = """
    CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            IF NEW.user_id IS NULL AND {unchanged} THEN RETURN NEW; END IF;
            RAISE EXCEPTION 'audit entries are only added, never changed';
        END IF;
        IF OLD.created_at > now() - interval '364 days' THEN
            RAISE EXCEPTION 'audit entries are only added, never removed';
        END IF;
        RETURN OLD;
    END $$;
    CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entries_stay();
""".format(unchanged=" AND ".join(f"NEW.{c} IS NOT DISTINCT FROM OLD.{c}" for c in _KEPT_COLUMNS))


def add(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for statement in _SQLITE.values() if vendor == "sqlite" else [_POSTGRESQL]:
        schema_editor.execute(statement, params=None)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for name in _SQLITE:
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")
    else:
        schema_editor.execute("DROP TRIGGER audit_entries_stay ON audit_auditentry")
        schema_editor.execute("DROP FUNCTION audit_entries_stay")


class Migration(migrations.Migration):

    dependencies = [
        ("audit", "0002_entry_times"),
    ]

    operations = [
        migrations.RunPython(add, remove, elidable=False),
    ]

from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, models
from django.db.utils import ConnectionHandler
from django.test.utils import isolate_apps

from left4me.core.env import Misconfigured, database_from_url


def test_a_unix_socket_s_directory_may_stand_where_a_host_name_would():
    assert database_from_url("postgres://left4me@%2Frun%2Fpostgresql/left4me")["HOST"] == "/run/postgresql"


def test_a_host_name_stays_what_it_is():
    assert database_from_url("postgres://left4me:secret@db.example:5433/left4me")["HOST"] == "db.example"


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", ""])
def test_other_databases_are_refused_with_the_cure(url):
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        database_from_url(url)


def test_a_database_across_the_network_is_given_up_when_the_line_is_dead():
    far = database_from_url("postgres://left4me:x@10.0.0.1/left4me")
    assert far["CONN_HEALTH_CHECKS"] is True
    assert far["OPTIONS"]["tcp_user_timeout"] == 10_000
    near = database_from_url("postgres://left4me@%2Frun%2Fpostgresql/left4me")
    assert near["CONN_HEALTH_CHECKS"] is False
    assert "tcp_user_timeout" not in near["OPTIONS"]


@pytest.mark.django_db
def test_a_connection_that_was_opened_while_the_disk_was_read_only_is_not_kept(tmp_path: Path):
    connection = ConnectionHandler({"default": database_from_url(f"sqlite:///{tmp_path}/rows.sqlite3")})["default"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (text)")
        # SQLite says of it what it says of a file that it could open for reading alone.
        cursor.execute("PRAGMA query_only=ON")
        with pytest.raises(OperationalError, match="readonly database"):
            cursor.execute("INSERT INTO notes VALUES ('lost')")
    # What `close_old_connections` calls at the end of every request and task.
    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('kept')")
    connection.close()


@pytest.mark.django_db
def test_a_connection_that_only_refused_data_stays_open(tmp_path: Path):
    connection = ConnectionHandler({"default": database_from_url(f"sqlite:///{tmp_path}/rows.sqlite3")})["default"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (text UNIQUE)")
        cursor.execute("INSERT INTO notes VALUES ('one')")
        with pytest.raises(IntegrityError):
            cursor.execute("INSERT INTO notes VALUES ('one')")
    opened = connection.connection
    connection.close_if_unusable_or_obsolete()
    assert connection.connection is opened
    connection.close()


@pytest.mark.django_db
@isolate_apps("left4me.core.tests")
def test_the_index_of_a_foreign_key_goes_without_a_copy_of_the_table(tmp_path: Path):
    class Game(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "tests"

    class Line(models.Model):  # noqa: DJ008
        game = models.ForeignKey(Game, models.CASCADE)

        class Meta:
            app_label = "tests"

    connection = ConnectionHandler({"default": database_from_url(f"sqlite:///{tmp_path}/rows.sqlite3")})["default"]
    with connection.schema_editor() as editor:
        editor.create_model(Game)
        editor.create_model(Line)
    # A copy would be without this one, of which Django knows nothing.
    _run(connection, "CREATE INDEX of_an_admin ON tests_line (id, game_id)")
    assert ["game_id"] in _indexes(connection).values()
    leaner = models.ForeignKey(Game, models.CASCADE, db_index=False)
    leaner.set_attributes_from_name("game")
    leaner.model = Line
    with connection.schema_editor() as editor:
        editor.alter_field(Line, Line._meta.get_field("game"), leaner)
    assert _indexes(connection) == {"of_an_admin": ["id", "game_id"]}
    with connection.schema_editor() as editor:
        editor.alter_field(Line, leaner, Line._meta.get_field("game"))
    assert ["game_id"] in _indexes(connection).values()
    connection.close()


def _run(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _indexes(connection: Any) -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, "tests_line")
    return {name: each["columns"] for name, each in found.items() if each["index"] and not each["primary_key"]}

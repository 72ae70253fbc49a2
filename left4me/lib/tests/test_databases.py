import pytest

from left4me.lib.databases import database_from_url
from left4me.lib.env import Misconfigured


def test_a_unix_socket_s_directory_may_stand_where_a_host_name_would():
    assert database_from_url("postgres://left4me@%2Frun%2Fpostgresql/left4me")["HOST"] == "/run/postgresql"


def test_a_host_name_stays_what_it_is():
    assert database_from_url("postgres://left4me:secret@db.example:5433/left4me")["HOST"] == "db.example"


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", ""])
def test_other_databases_are_refused_with_the_cure(url):
    with pytest.raises(Misconfigured, match="DATABASE_URL"):
        database_from_url(url)

import pytest

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

from __future__ import annotations

import pytest

from left4me.testing.testhost import Testhost

pytestmark = [pytest.mark.testhost, pytest.mark.machine, pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_installation_on_postgres_is_taken_up_again_and_purged(machine: Testhost):
    machine.sh("git clone --quiet /srv/left4me.git /root/left4me")
    machine.sh("/root/left4me/deploy/install --game simulated --database postgres")
    assert "Nothing to do" in machine.sh("/root/left4me/deploy/install --database postgres").output
    assert "database: postgresql, migrations applied" in machine.sh("left4mectl doctor", check=False).output
    # The password is in one file, and the role may do nothing else.
    assert (
        machine.sh("grep -c '^DATABASE_URL=postgres://left4me:.*@127.0.0.1:' /etc/left4me/secrets.env").output == "1"
    )
    assert machine.sh("grep -c ^DATABASE_URL= /etc/left4me/left4me.env", check=False).output == "0"
    role = "SELECT rolsuper OR rolcreatedb OR rolcreaterole FROM pg_roles WHERE rolname = 'left4me'"
    as_postgres = "setpriv --reuid=postgres --regid=postgres --init-groups psql -tAc"
    assert machine.sh(f'cd / && {as_postgres} "{role}"').output.strip() == "f"
    machine.sh("/root/left4me/deploy/install --uninstall --purge")
    left = "SELECT count(*) FROM pg_database WHERE datname = 'left4me'"
    assert machine.sh(f'cd / && {as_postgres} "{left}"').output.strip() == "0"

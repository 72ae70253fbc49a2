"""What an installation decides and writes, in a directory; the whole of it runs in a container elsewhere."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import pytest

from deploy import installer
from deploy.ops import environment
from deploy.ops.database import postgres
from deploy.ops.installation import CHECKOUT, Choices, Installation
from deploy.ops.layout import Layout
from deploy.ops.machine import preflight, proxy, system_files
from deploy.ops.plan import CannotGoOn


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def _titles(layout: Layout, choices: Choices) -> list[str]:
    return [step.title for step in Installation(layout, choices).steps()]


def test_settings_start_as_the_example_with_what_an_installation_needs(layout: Layout):
    step = Installation(layout, Choices(game="simulated")).settings()
    assert not step.is_done()
    step.apply()
    values = environment.read(layout)
    assert values["LEFT4ME_RUNTIME"] == "systemd"
    assert values["LEFT4ME_GAME"] == "simulated"
    assert values["REDIS_URL"].endswith("/run/left4me/redis.sock")
    assert "# Where the web listens." in layout.settings_file.read_text()
    assert Installation(layout, Choices()).settings().is_done()


def test_a_domain_may_come_later_and_changes_only_its_own_lines(layout: Layout):
    Installation(layout, Choices()).settings().apply()
    changed = layout.settings_file.read_text().replace("LEFT4ME_GAME=steam", "LEFT4ME_GAME=simulated")
    layout.settings_file.write_text(changed)
    Installation(layout, Choices(domain="left4me.example.org")).settings().apply()
    values = environment.read(layout)
    assert values["LEFT4ME_BEHIND_TLS"] == "true"
    assert values["LEFT4ME_ALLOWED_HOSTS"] == "left4me.example.org,127.0.0.1,localhost"
    assert values["LEFT4ME_GAME"] == "simulated"


def test_another_domain_takes_the_place_of_the_one_before_and_nothing_else(layout: Layout):
    Installation(layout, Choices(domain="old.example.org")).settings().apply()
    text = layout.settings_file.read_text().replace("old.example.org,", "old.example.org,games.lan,")
    text += "LEFT4ME_PUBLIC_URL=https://old.example.org\n"
    layout.settings_file.write_text(text)
    assert Installation(layout, Choices(domain="old.example.org")).settings().is_done(), "names of the operator stay"
    Installation(layout, Choices(domain="new.example.org")).settings().apply()
    values = environment.read(layout)
    assert values["LEFT4ME_ALLOWED_HOSTS"] == "new.example.org,games.lan,127.0.0.1,localhost"
    assert values["LEFT4ME_PUBLIC_URL"] == "https://new.example.org"
    assert Installation(layout, Choices(domain="new.example.org")).settings().is_done()


def test_a_public_address_of_the_operators_own_stays(layout: Layout):
    Installation(layout, Choices(domain="old.example.org")).settings().apply()
    with layout.settings_file.open("a") as file:
        file.write("LEFT4ME_PUBLIC_URL=https://www.example.org\n")
    Installation(layout, Choices(domain="new.example.org")).settings().apply()
    assert environment.read(layout)["LEFT4ME_PUBLIC_URL"] == "https://www.example.org"


def test_a_domain_that_was_switched_half_way_is_switched_by_the_next_run(layout: Layout):
    Installation(layout, Choices(domain="old.example.org")).settings().apply()
    layout.caddyfile.parent.mkdir(parents=True)
    layout.caddyfile.write_text("import left4me.caddy\n")
    proxy.site(layout).write_text(proxy.text(CHECKOUT, domain="old.example.org", tls="auto", secret="x"))
    for _ in range(2):
        Installation(layout, Choices(domain="new.example.org")).settings().apply()
        assert environment.read(layout)["LEFT4ME_ALLOWED_HOSTS"] == "new.example.org,127.0.0.1,localhost"


def test_secrets_are_made_once(layout: Layout):
    step = Installation(layout, Choices()).secrets()
    step.apply()
    first = layout.secrets_file.read_text()
    assert len(environment.read(layout)["LEFT4ME_SECRET_KEY"]) >= 48
    assert step.is_done()
    step.apply()
    assert layout.secrets_file.read_text() == first


def test_a_database_once_chosen_stays_chosen(layout: Layout):
    assert Installation(layout, Choices(database="postgres")).database == "postgres"
    Installation(layout, Choices()).secrets().apply()
    assert Installation(layout, Choices(database="postgres")).database == "sqlite"


def test_the_database_of_this_machine_is_set_up_before_anything_is_written_into_it(layout: Layout):
    titles = _titles(layout, Choices(database="postgres"))
    assert titles.index("create the PostgreSQL database left4me") < titles.index("migrate the database")


def test_a_database_elsewhere_is_the_operators(layout: Layout):
    url = "postgres://left4me:x@db.example.org/left4me"
    environment.write(layout.secrets_file, f"DATABASE_URL={url}\nLEFT4ME_SECRET_KEY={'x' * 40}\n", layout=layout)
    assert not any("PostgreSQL" in title for title in _titles(layout, Choices()))
    assert not postgres.is_ours(url)
    assert postgres.is_ours("postgres://left4me:secret@127.0.0.1:5433/left4me")
    assert postgres.password_of("postgres://left4me:se-cret_@127.0.0.1:5433/left4me") == "se-cret_"


def test_what_a_release_lays_out_is_taken_away_again_with_drop_ins(layout: Layout):
    assert not system_files.is_laid_out(layout, CHECKOUT)
    system_files.lay_out(layout, CHECKOUT)
    assert system_files.is_laid_out(layout, CHECKOUT)
    assert system_files.lay_out(layout, CHECKOUT) == []
    drop_in = layout.units / "left4me-web.service.d/mine.conf"
    drop_in.parent.mkdir()
    drop_in.touch()
    system_files.remove(layout)
    assert [path for path in layout.root.rglob("*left4me*") if "etc" in path.parts and not path.is_dir()] == []
    assert not layout.command.is_symlink()


def test_a_changed_unit_is_written_again(layout: Layout):
    system_files.lay_out(layout, CHECKOUT)
    unit = layout.units / "left4me-web.service"
    unit.write_text("[Unit]\n")
    assert system_files.lay_out(layout, CHECKOUT) == [unit]


@pytest.mark.parametrize("text", ["left4me.example.org", "Left4me.Example.ORG.", "a-b.de"])
def test_names_are_taken_in_any_case(text: str):
    assert installer._domain(text) == text.lower().rstrip(".")


@pytest.mark.parametrize("text", ["localhost", "no name", "a..b", "-a.de", "https://a.de", "a.de {", "a.de\nb.de"])
def test_what_is_no_name_never_reaches_the_proxy(text: str):
    with pytest.raises(argparse.ArgumentTypeError):
        installer._domain(text)


def test_the_site_streams_and_names_its_domain():
    text = proxy.text(CHECKOUT, domain="left4me.example.org", tls="auto", secret="only-caddy-knows")
    assert "left4me.example.org {" in text
    assert "flush_interval -1" in text
    assert "@" not in text
    assert "tls" not in text.partition("{")[2]
    assert "header_up X-Left4me-Proxy-Secret only-caddy-knows\n" in text
    assert "\ttls internal\n" in proxy.text(CHECKOUT, domain="left4me.example.org", tls="internal", secret="x")


def test_a_domain_comes_with_a_secret_between_proxy_and_web(layout: Layout):
    Installation(layout, Choices()).secrets().apply()
    assert "LEFT4ME_PROXY_SECRET" not in environment.read(layout)
    step = Installation(layout, Choices(domain="left4me.example.org")).secrets()
    assert not step.is_done()
    step.apply()
    assert len(environment.read(layout)["LEFT4ME_PROXY_SECRET"]) >= 32
    assert step.is_done()


@pytest.mark.parametrize(
    ("release", "fits"),
    [
        ('ID=debian\nVERSION_ID="12"\n', True),
        ('ID=debian\nVERSION_ID="13"\n', True),
        ("ID=debian\n", True),  # testing has no number
        ('ID=debian\nVERSION_ID="11"\n', False),
        ('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04"\n', False),
    ],
)
def test_other_systems_are_refused_with_a_way_out(release: str, fits: bool):
    if fits:
        preflight.refuse_other_systems(release)
        return
    with pytest.raises(CannotGoOn, match="bin/up"):
        preflight.refuse_other_systems(release)


def test_a_busy_port_is_refused_with_the_command_that_says_by_whom():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotGoOn, match=f"sport = :{port}"):
            preflight.refuse_busy_port(port, "or another")

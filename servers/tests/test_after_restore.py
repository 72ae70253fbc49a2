from io import StringIO

import pytest
from django.core.management import call_command

from left4me.jobs.models import Job
from overlays import paths
from overlays.models import Overlay
from overlays.tests.factories import make_overlay
from servers.models import Server
from servers.tests.factories import install_game, make_host, make_server


@pytest.fixture(autouse=True)
def _own_root(settings, tmp_path, db):
    settings.LEFT4ME_ROOT = tmp_path


def _asked() -> list[tuple[str, str]]:
    out = StringIO()
    call_command("after_restore", stdout=out)
    return list(Job.objects.order_by("pk").values_list("operation", "resource"))


def test_an_empty_machine_fetches_the_game_and_the_overlays_before_it_starts_what_is_wanted(cast):
    workshop = make_overlay(kind=Overlay.Kind.WORKSHOP)
    lost = make_overlay(kind=Overlay.Kind.SCRIPT)
    kept = make_overlay(kind=Overlay.Kind.SCRIPT)
    paths.directory(kept).mkdir(parents=True)
    make_overlay(kind=Overlay.Kind.FILES)
    wanted = make_server(cast.owner, desired_state=Server.Desired.RUNNING)
    make_server(cast.owner, desired_state=Server.Desired.STOPPED)
    assert _asked() == [
        ("install", "game"),
        ("build", workshop.resource),
        ("build", lost.resource),
        ("start", wanted.resource),
    ]


def test_a_game_that_is_there_is_not_fetched_again(settings):
    install_game(settings.LEFT4ME_ROOT)
    assert _asked() == []


def test_servers_of_other_hosts_are_theirs(cast, settings):
    install_game(settings.LEFT4ME_ROOT)
    make_server(cast.owner, host=make_host(name="second"), desired_state=Server.Desired.RUNNING)
    assert _asked() == []


def test_asking_twice_asks_for_the_same_jobs(cast):
    make_server(cast.owner, desired_state=Server.Desired.RUNNING)
    assert _asked() == _asked()

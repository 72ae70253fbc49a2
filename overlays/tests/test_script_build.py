"""Script overlays: the script runs in a sandbox in an empty directory, which is used only on success."""

from __future__ import annotations

import shutil

import pytest
from django.conf import settings
from django.urls import reverse

from left4me.core.processes import commands
from left4me.jobs import actions as jobs
from left4me.jobs.models import JobLog
from left4me.testing.folders import listed
from left4me.testing.jobs import drain
from overlays.builders import script
from overlays.files import script_views
from overlays.models import Overlay, OverlayScript
from overlays.tests.factories import make_overlay

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_server"),
    pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap: apt-get install bubblewrap"),
]


@pytest.fixture
def overlay(left4me_root):
    return make_overlay(kind=Overlay.Kind.SCRIPT)


@pytest.fixture
def tree(overlay):
    return settings.LEFT4ME_ROOT / "overlays" / overlay.path


def build(overlay, text):
    OverlayScript.objects.update_or_create(overlay=overlay, defaults={"text": text})
    job = jobs.request(operation="build", resource=overlay.resource, by=None, host=settings.LEFT4ME_HOST)
    drain(host=settings.LEFT4ME_HOST)
    job.refresh_from_db()
    return job, list(JobLog.objects.filter(job=job, stream="stdout").values_list("line", flat=True))


def test_what_the_script_writes_becomes_the_overlay_and_its_output_the_log(overlay, tree):
    job, lines = build(overlay, "echo working\r\nmkdir -p left4dead2/cfg\necho 1 > left4dead2/cfg/a.cfg")
    assert (job.state, job.error) == ("succeeded", "")
    assert (tree / "left4dead2/cfg/a.cfg").read_text() == "1\n"
    assert lines == ["working", "files=1 bytes=2"]
    overlay.refresh_from_db()
    assert overlay.content_version == 1


def test_a_build_starts_from_nothing_and_the_old_tree_stays_for_games_that_run(overlay, tree):
    build(overlay, "echo 1 > old")
    with (tree / "old").open() as held:
        build(overlay, "echo 2 > new")
        assert listed(tree) == ["new"]
        assert held.read() == "1\n"
        assert (tree.parent / f".previous-{tree.name}" / "old").exists()
    build(overlay, "echo 3 > newest")
    assert listed(tree.parent / f".previous-{tree.name}") == ["new"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo 1 > a\nfalse\necho 2 > b", "The script failed with exit status 1"),
        ("echo broken >&2; exit 7", "The script failed with exit status 7: broken"),
        ("true", "The script created no files"),
        ("ln -s /etc/passwd a", "The link a points outside the overlay"),
        ("mkdir d; ln -s ../../x d/a", "The link d/a points outside the overlay"),
        ("", "This overlay has no script yet"),
    ],
)
def test_a_script_that_fails_leaves_the_overlay_as_it_was(overlay, tree, text, words):
    build(overlay, "echo 1 > kept")
    job, _ = build(overlay, text)
    assert job.state == "failed"
    assert words in job.error
    assert listed(tree) == ["kept"]
    assert sorted(path.name for path in tree.parent.iterdir() if not path.name.startswith(".previous")) == [tree.name]


def test_the_sandbox_shows_nothing_of_the_host(overlay, tree, left4me_root):
    (left4me_root / "secret_key").write_text("hidden")
    text = f"""
        cat {left4me_root}/secret_key /root/.bashrc /etc/shadow 2>/dev/null && exit 1
        touch /usr/x /etc/x /x 2>/dev/null && exit 2
        [ "$(ls /proc | grep -c '^[0-9]')" -lt 10 ] || exit 3
        [ -z "$LEFT4ME_ROOT$DJANGO_SETTINGS_MODULE" ] || exit 4
        ls -d /home /root /var 2>/dev/null && exit 5
        id -u > uid
    """
    job, _ = build(overlay, text)
    assert (job.state, job.error) == ("succeeded", "")
    assert (tree / "uid").read_text() == "1000\n"


def test_a_script_that_runs_too_long_is_ended(overlay, monkeypatch):
    monkeypatch.setattr(script, "SECONDS", 1)
    job, _ = build(overlay, "sleep 60")
    assert "ran longer than" in job.error


def test_the_error_of_a_script_that_runs_too_long_says_how_long_it_may_run(overlay, monkeypatch):
    def time_out(*_args, timeout, **_options):
        raise commands.CommandTimedOut("sh", timeout)

    monkeypatch.setattr(script.commands, "run", time_out)
    job, _ = build(overlay, "sleep 60")
    assert job.error == "The script was stopped because it ran longer than 30 minutes."


def test_a_script_that_makes_too_many_files_fails(overlay, tree, monkeypatch):
    monkeypatch.setattr(script, "MOST_FILES", 3)
    assert build(overlay, "touch 1 2 3")[0].state == "succeeded"
    job, _ = build(overlay, "touch 1 2 3 4")
    assert job.error == "The script created more than 3 files."
    assert listed(tree) == ["1", "2", "3"]


def test_a_script_that_fills_the_disk_is_ended(overlay, monkeypatch):
    monkeypatch.setattr(script, "LARGEST_TREE", 50_000_000)
    monkeypatch.setattr(script, "_MEASURE_EVERY", 0.1)
    job, _ = build(overlay, "n=0; while true; do n=$((n+1)); head -c 10000000 /dev/zero > f$n; sleep 0.05; done")
    assert job.state == "failed"
    assert "wrote more than" in job.error


def test_admins_write_scripts_and_everybody_reads_those_of_the_catalog(client, cast, overlay):
    url = reverse("overlays:script", args=[overlay.pk])
    client.force_login(cast.stranger)
    assert client.post(url, {"text": "echo"}).status_code == 403
    client.force_login(cast.admin)
    assert client.post(url, {"text": "echo 1 > a"}).status_code == 302
    client.force_login(cast.stranger)
    assert b"echo 1 &gt; a" in client.get(url).content


@pytest.mark.parametrize("name", script_views.examples())
def test_the_examples_are_offered_and_are_sound_shell(client, cast, overlay, name, tmp_path):
    client.force_login(cast.admin)
    text = client.get(reverse("overlays:script", args=[overlay.pk]), {"example": name}).context["text"]
    assert text.startswith("#")


def test_the_competitive_example_builds_without_the_internet(overlay, tree):
    text = (script_views._EXAMPLES / "competitive-settings.sh").read_text()
    job, _ = build(overlay, text)
    assert (job.state, job.error) == ("succeeded", "")
    assert "sv_maxrate 100000" in (tree / "left4dead2/cfg/server.cfg").read_text()


def test_a_cfg_that_the_game_could_not_execute_is_converted(overlay, tree):
    text = r"mkdir -p left4dead2/cfg && printf '\357\273\277sv_x 1\n' > left4dead2/cfg/a.cfg"
    job, lines = build(overlay, text)
    assert (job.state, job.error) == ("succeeded", "")
    assert (tree / "left4dead2/cfg/a.cfg").read_bytes() == b"sv_x 1\n"
    assert "left4dead2/cfg/a.cfg converted from UTF-8 with a byte order mark to UTF-8" in lines

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from left4me.core.concurrency import Cancelled
from servers.gamehost.game import NoVersion, Versions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Silent:
    def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
        pass

    def log(self, line: str) -> None:
        pass

    def cancelled(self) -> bool:
        return False


def publish(versions: Versions, hours: int) -> str:
    (versions.stage(watch=Silent()) / "srcds_run").write_text(str(hours))
    return versions.publish(kind="simulated", build="0", now=NOW + timedelta(hours=hours)).id


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "game")


def test_without_an_install_there_is_no_current_version(versions: Versions) -> None:
    with pytest.raises(NoVersion, match="not installed"):
        versions.current()
    assert versions.all() == []


def test_the_newest_install_is_current(versions: Versions) -> None:
    publish(versions, 1)
    newest = publish(versions, 2)
    assert versions.current().id == newest
    assert (versions.current().path / "srcds_run").read_text() == "2"
    assert versions.current().kind == "simulated"


def test_only_versions_that_nobody_needs_are_removed(versions: Versions) -> None:
    first, second, third, fourth = (publish(versions, hour) for hour in range(4))
    removed = versions.remove_unused(in_use=[versions.get(first).path])
    assert removed == [second]
    assert [one.id for one in versions.all()] == [first, third, fourth]
    assert versions.remove_unused(in_use=[]) == [first]


def test_going_back_twice_goes_back_twice(versions: Versions) -> None:
    first, second, _ = (publish(versions, hour) for hour in range(3))
    assert versions.roll_back().id == second
    assert versions.roll_back().id == first
    with pytest.raises(NoVersion):
        versions.roll_back()
    assert versions.current().id == first


def test_a_version_whose_directory_is_gone_is_no_version(versions: Versions) -> None:
    only = versions.get(publish(versions, 1))
    (only.path / "srcds_run").unlink()
    only.path.rmdir()
    with pytest.raises(NoVersion, match="no longer exists"):
        versions.current()


def test_the_link_may_be_followed_by_anybody_and_moves_with_the_directory(versions: Versions, tmp_path: Path) -> None:
    publish(versions, 1)
    (tmp_path / "game").rename(tmp_path / "moved")
    assert (tmp_path / "moved/current/srcds_run").read_text() == "1"


def test_the_first_install_makes_the_directories_above_it(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "no" / "such" / "game")
    assert versions.stage(watch=Silent()).is_dir()


def test_an_update_begins_with_all_of_its_base_links_included(versions: Versions) -> None:
    tree = versions.stage(watch=Silent())
    (tree / "bin" / "empty").mkdir(parents=True)
    (tree / "bin" / "server.so").write_text("binary")
    (tree / "bin" / "server.so").chmod(0o755)
    (tree / "a.so").symlink_to("bin/server.so")
    (tree / "libraries").symlink_to("bin")
    (tree / "dangling").symlink_to("nothing")
    (tree / "last").write_text("last")
    base = versions.publish(kind="simulated", build="0", now=NOW)
    copy = versions.stage(base=base, watch=Silent())
    assert (copy / "bin" / "empty").is_dir()
    assert (copy / "bin" / "server.so").stat().st_mode & 0o777 == 0o755
    assert {name: (copy / name).readlink() for name in ("a.so", "libraries", "dangling")} == {
        "a.so": Path("bin/server.so"),
        "libraries": Path("bin"),
        "dangling": Path("nothing"),
    }
    assert [(copy / name).read_text() for name in ("bin/server.so", "last")] == ["binary", "last"]


def test_a_copy_of_a_base_tells_how_far_it_is_and_ends_when_it_is_cancelled(versions: Versions) -> None:
    tree = versions.stage(watch=Silent())
    for name in ("one", "two"):
        (tree / name).write_text("12345")
    (tree / "link").symlink_to("one")
    base = versions.publish(kind="simulated", build="0", now=NOW)
    told: list[tuple[int, int | None]] = []

    class Told(Silent):
        def progress(self, *, phase: str, done: int, total: int | None = None, unit: str = "") -> None:
            told.append((done, total))

        def cancelled(self) -> bool:
            return len(told) == 1 and is_cancelled

    is_cancelled = True
    with pytest.raises(Cancelled):
        versions.stage(base=base, watch=Told())
    told.clear()
    is_cancelled = False
    versions.stage(base=base, watch=Told())
    assert told == [(5, 10), (10, 10)]

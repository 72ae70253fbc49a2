"""Print how fast workshop items arrive, next to curl and aria2c from the same server, and what a no-op build costs.

20 files of 50 MB come from the simulated Steam in a process of its own, four at a time, into a folder on the same
disk. `CPU s/GB` is the downloading process's own. Ours also checks each file, and waits until it is on the disk.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import figures, stack
from bench.figures import Figure
from bench.peers import aria2c, curl

FILES = int(os.environ.get("BENCH_FILES", "20"))
MEGABYTES = int(os.environ.get("BENCH_MEGABYTES", "50"))
ITEMS = int(os.environ.get("BENCH_ITEMS", "1000"))
SIDE_BY_SIDE = 4
WORK = f"{FILES} files of {MEGABYTES} MB"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        published = publish(folder / "published")
        argv = [sys.executable, "-m", "left4me.testing.simulated_steam", str(published)]
        server = subprocess.Popen(argv, cwd=stack.REPOSITORY, stdout=subprocess.PIPE)
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        print(f"{FILES} files of {MEGABYTES} MB, {SIDE_BY_SIDE} at a time\n")
        print(f"{'':<22}{'MB/s':>8}{'seconds':>10}{'CPU s/GB':>10}")
        for name, fetch in (("curl", curl.fetch), ("aria2c", aria2c.fetch), (figures.US, ours)):
            try:
                measure(name, fetch, url, folder / name)
            except (FileNotFoundError, subprocess.CalledProcessError) as error:
                if name == figures.US:
                    raise
                why = f"not installed: apt-get install {name.rstrip('c')}" if not shutil.which(name) else str(error)
                figures.record(f"{name:<22} {why}", Figure("workshop", WORK, None, "MB/s", name, failure=why))
        server.kill()
        server.wait()
    no_op_build()


def publish(folder: Path) -> Path:
    """Valid VPKs whose content is not all zeros."""
    from left4me.testing import vpk_files

    folder.mkdir()
    block = os.urandom(1_000_000)
    for number in range(1, FILES + 1):
        vpk_files.write(folder / f"{number}.vpk", {"maps/a.bsp": block * MEGABYTES})
    return folder


def measure(name: str, fetch: Callable[..., None], url: str, target: Path) -> None:
    target.mkdir()
    who = resource.RUSAGE_SELF if fetch is ours else resource.RUSAGE_CHILDREN
    before, began = resource.getrusage(who), time.monotonic()
    fetch(url, FILES, target, side_by_side=SIDE_BY_SIDE)
    seconds, after = time.monotonic() - began, resource.getrusage(who)
    size = sum(path.stat().st_size for path in target.iterdir())
    assert size >= FILES * MEGABYTES * 1_000_000, f"{name} fetched only {size} bytes"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures.record(
        f"{name:<22}{size / seconds / 1e6:8.0f}{seconds:10.2f}{cpu / size * 1e9:10.2f}",
        Figure("workshop", WORK, size / seconds / 1e6, "MB/s", name),
        Figure("workshop", f"{WORK}: CPU", cpu / size * 1e9, "s/GB", name),
    )
    shutil.rmtree(target)


def ours(url: str, files: int, target: Path, *, side_by_side: int) -> None:
    from left4me.core.net import fetch
    from workshop import download_batch, steam

    with fetch.Client(hosts=fetch.AllowedHosts.parse([url])) as client:
        found = steam.Steam(base_url=url, client=client).items(range(1, files + 1))
    wanted = [
        download_batch.PublishedFile(i.steam_id, i.file_url, i.file_size, i.time_updated) for i in found.values()
    ]
    results = download_batch.download_all(
        wanted,
        target,
        hosts=fetch.AllowedHosts.parse([url]),
        log=print,
        progress=lambda _item, _done: None,
        cancelled=lambda: False,
        side_by_side=side_by_side,
    )
    assert all(result.fetched for result in results)


def no_op_build() -> None:
    """A build that finds everything in place, as a job's body, with rows in SQLite."""
    stack.prepare()
    from left4me.testing import vpk_files
    from left4me.testing.recorded_run import RecordedRun
    from overlays import builds
    from overlays.models import Overlay, OverlayWorkshopItem
    from workshop import cache
    from workshop.models import WorkshopItem

    folder = cache.directory()
    vpk_files.write(folder / "0.vpk", {"maps/a.bsp": bytes(10_000)})
    content = (folder / "0.vpk").read_bytes()
    for number in range(1, ITEMS + 1):
        path = folder / f"{number}.vpk"
        path.write_bytes(content)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    WorkshopItem.objects.bulk_create(
        WorkshopItem(steam_id=n, file_url="https://x", file_size=len(content), time_updated=1_700_000_000)
        for n in range(1, ITEMS + 1)
    )
    overlay = Overlay.objects.create(name="bench", kind="workshop", path="bench")
    OverlayWorkshopItem.objects.bulk_create(
        OverlayWorkshopItem(overlay=overlay, item=item) for item in WorkshopItem.objects.all()
    )
    print()
    for title in (f"first build, {ITEMS} cached", "second build, no-op"):
        run = RecordedRun(overlay.resource)
        began = time.monotonic()
        builds.build(run, overlay)
        seconds = time.monotonic() - began
        figures.record(
            f"{title:<32}{seconds:8.3f} s   {run.lines[-1]}", Figure("workshop", title, 1000 * seconds, "ms")
        )


if __name__ == "__main__":
    main()

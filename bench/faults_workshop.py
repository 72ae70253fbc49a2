"""Kill the worker at random moments of a 200-item build, many times, and count what must never happen."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from bench import stack


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench/faults workshop", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    options = parser.parse_args(arguments)
    from left4me.testing.simulated_steam import SimulatedSteam

    with tempfile.TemporaryDirectory() as folder, SimulatedSteam(Path(folder)) as steam:
        os.environ.update(LEFT4ME_STEAM_API_URL=steam.url, LEFT4ME_STEAM_CONTENT_HOSTS=steam.url)
        stack.prepare()
        return Chaos(steam, options).run()


class Chaos:
    def __init__(self, steam: object, options: argparse.Namespace) -> None:
        self.random = random.Random(options.seed)
        self.rounds, self.count = options.rounds, options.items
        self.steam = steam
        self.invalid = self.killed_while_active = 0
        print(f"seed {options.seed}, {self.rounds} rounds, {self.count} items")

    def run(self) -> int:
        self.publish()
        self.redis = stack.redis()
        worker = stack.worker()
        began = time.monotonic()
        for number in range(1, self.rounds + 1):
            self.build()
            stack.until(self.is_active, seconds=60, what="the build")
            time.sleep(self.random.uniform(0, 1.2))
            self.killed_while_active += self.is_active()
            stack.kill(worker)
            self.invalid += len(self.invalid_files())
            self.lose_some()
            worker = stack.worker()
            if number % 10 == 0:
                print(f"  round {number}, {time.monotonic() - began:.0f} s", flush=True)
        lost_rows = self.count - self.links()
        stack.until(lambda: not self.is_live(), seconds=120, what="the last of the builds")
        job = self.build()
        stack.until(lambda: not self.is_live(), seconds=120, what="the build that completes it")
        stack.kill(worker)
        return self.report(job, lost_rows, time.monotonic() - began)

    def publish(self) -> None:
        from overlays.models import Overlay, OverlayWorkshopItem
        from workshop import metadata

        for steam_id in range(1, self.count + 1):
            size = self.random.randint(20_000, 400_000)
            self.steam.add(steam_id, files={"maps/a.bsp": self.random.randbytes(size)})
        from django.utils import timezone

        with metadata.connect() as api:
            rows = metadata.save(api.all_items(range(1, self.count + 1)), now=timezone.now())
        self.overlay = Overlay.objects.create(name="bench", kind="workshop", path="bench")
        OverlayWorkshopItem.objects.bulk_create(
            OverlayWorkshopItem(overlay=self.overlay, item=item) for item in rows.values()
        )

    def build(self) -> object:
        from left4me.jobs import actions

        return actions.request(operation="build", resource=self.overlay.resource, by=None, host="local")

    def is_active(self) -> bool:
        from left4me.jobs.models import Job

        return Job.objects.active().exists()

    def is_live(self) -> bool:
        from left4me.jobs.models import Job

        return Job.objects.live().exists()

    def links(self) -> int:
        return self.overlay.workshop_links.count()

    def invalid_files(self) -> list[str]:
        """Files under a final name that are not, byte for byte, what was published."""
        folder = stack.ROOT / "workshop_cache"
        wrong = []
        for path in folder.glob("*.vpk"):
            if path.read_bytes() != self.steam.items[int(path.stem)].path.read_bytes():
                wrong.append(path.name)
        return wrong

    def lose_some(self) -> None:
        """So that the next build has something to do."""
        folder = stack.ROOT / "workshop_cache"
        for steam_id in self.random.sample(range(1, self.count + 1), self.count // 3):
            (folder / f"{steam_id}.vpk").unlink(missing_ok=True)

    def report(self, job: object, lost_rows: int, seconds: float) -> int:
        job.refresh_from_db()
        cache = stack.ROOT / "workshop_cache"
        addons = stack.ROOT / "overlays" / "bench" / "left4dead2" / "addons"
        print(f"{'kills while a build ran':<44}{self.killed_while_active:6}")
        print(f"{'seconds':<44}{seconds:6.0f}")
        counts = {
            "invalid files under a final name": self.invalid + len(self.invalid_files()),
            "items lost": lost_rows,
            "items missing after the last build": self.count - len(list(cache.glob("*.vpk"))),
            "links missing after the last build": self.count - sum(path.exists() for path in addons.glob("*.vpk")),
            "partial files left behind": len(list(cache.glob(".*.part"))),
            "last build not succeeded": int(job.state != "succeeded"),
        }
        for what, count in counts.items():
            print(f"{what:<44}{count:6}")
        return int(any(counts.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Break one area while it works, and print how it recovers.

bench/faults AREA [OPTIONS]      e.g. bench/faults runtime --rounds 100
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path


def main() -> None:
    areas = sorted(path.stem.removeprefix("faults_") for path in Path(__file__).parent.glob("faults_*.py"))
    area = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if area not in areas:
        raise SystemExit(f"bench/faults AREA [OPTIONS]; the areas are: {', '.join(areas)}")
    runpy.run_module(f"bench.faults_{area}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

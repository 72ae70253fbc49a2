"""The environment of peers from PyPI, which are not locked because only benches use them.

`PEERS=DIR` names its directory; if nothing is there, it is made, and PACKAGES are installed into it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

VARIABLE = "PEERS"
PACKAGES = ("aiorcon==0.6.8", "python-a2s==1.4.2", "python-valve==0.2.1", "rcon==2.4.9", "uvloop>=0.21")
_REPOSITORY = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """There is no environment of peers, or making it failed."""


class Failed(Exception):
    """A peer ended with an error; the message is the last thing that it said."""


def python() -> Path:
    """Return the environment's Python; raise Missing with what to do."""
    named = os.environ.get(VARIABLE)
    if not named:
        raise Missing(f"not installed: {VARIABLE}=DIR makes an environment with it")
    program = Path(named).absolute() / "bin" / "python"
    if not program.exists():
        print(f"installing {', '.join(PACKAGES)} into {named}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", named], check=True)
        pip = [str(program), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *PACKAGES]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"could not be installed: {done.stderr.strip().splitlines()[-1]}")
    return program


def run(peer: str, *arguments: str, seconds: float = 60) -> str:
    """Run the module of a peer in the environment; return what it printed. Raise Missing or Failed."""
    argv = [python(), "-m", f"bench.peers.{peer}", *arguments]
    try:
        done = subprocess.run(
            argv, cwd=_REPOSITORY, capture_output=True, text=True, check=False, timeout=seconds,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Failed(f"did not end within {seconds:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise Failed(said[-1][:160])
    return done.stdout

"""What a program on untrusted input sees in its sandbox, with real namespaces."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from left4me.core.processes import commands, sandboxed

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap: apt-get install bubblewrap")

_LIMITS = sandboxed.Limits(memory=1024**3, largest_file=1024**2)


def _seen(script: str, *, network: bool, binds: sandboxed.Binds | None = None) -> list[str]:
    argv = sandboxed.argv(["sh", "-c", script], limits=_LIMITS, binds=binds or sandboxed.Binds(), network=network)
    return commands.run(argv, timeout=60).output.split()


def test_without_network_it_has_no_interface_but_an_unused_loopback() -> None:
    interfaces = "sed 1,2d /proc/net/dev | cut -d: -f1"
    assert _seen(f"{interfaces}; cat /proc/net/route | wc -l", network=False) in (["lo", "0"], ["lo", "1"])
    assert _seen("readlink /proc/self/ns/net", network=True) == [str(Path("/proc/self/ns/net").readlink())]


def test_it_sees_the_system_and_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("content")
    (tmp_path / "secret").write_text("hidden")
    binds = sandboxed.Binds(read_only={"/in": tmp_path / "given"})
    system = {"bin", "dev", "lib", "lib64", "proc", "sbin", "tmp", "usr"}
    assert set(_seen("ls /", network=False, binds=binds)) == system | {"in"}
    assert _seen("cat /in; echo x 2>/dev/null >> /in || echo refused", network=False, binds=binds) == [
        "contentrefused"
    ]


def test_what_is_not_limited_is_left_out_and_what_is_given_is_there() -> None:
    plain = sandboxed.argv(["x"], limits=_LIMITS, binds=sandboxed.Binds(), network=True)
    words = [str(word) for word in plain]
    assert words[:4] == ["prlimit", f"--as={1024**3}", f"--fsize={1024**2}", "--core=0"]
    assert "--size" not in words and "unshare" not in words and words[-3:] == ["--chdir", "/", "x"]
    limits = sandboxed.Limits(memory=1, largest_file=2, processes=3, temporary=4)
    binds = sandboxed.Binds(
        read_only={"/in": Path("/a")}, writable={"/out": Path("/b")}, read_only_if_there=("/etc/ssl",)
    )
    full = [
        str(word)
        for word in sandboxed.argv(
            ["x"], limits=limits, binds=binds, network=False, environment={"A": "1"}, directory="/out"
        )
    ]
    text = " ".join(full)
    for part in (
        "--as=1 --nproc=3 --fsize=2",
        "unshare --user --map-current-user --net bwrap",
        "--setenv LANG C.UTF-8 --setenv A 1",
        "--ro-bind-try /etc/ssl /etc/ssl",
        "--size 4 --tmpfs /tmp",
        "--ro-bind /a /in --bind /b /out",
        "--chdir /out x",
    ):
        assert part in text

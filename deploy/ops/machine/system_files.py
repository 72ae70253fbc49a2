"""Files of a release outside of its own directory: units, accounts, directories, the polkit rule, the command."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Final

from deploy.ops.layout import Layout, Role
from deploy.ops.machine import services
from left4me.core.files import atomic
from left4me.core.processes import commands

_SECONDS: Final = 120

# Of a release that has no presets.
_OF_WORKER_HOSTS: Final = frozenset(
    {
        *(services.WORKER, services.RECOVER, "left4me-server@.service", "left4me.slice"),
        *(services.FIREWALL, services.FIREWALL_COUNTERS, "left4me-firewall-counters.service"),
    }
)
_PRESETS: Final = {Role.WEB: "web.preset", Role.WORKER_HOST: "worker-host.preset"}


def preset(tree: Path, role: Role) -> dict[str, bool]:
    """The units of the release in `tree` for this role, and whether each starts at boot; empty for older releases."""
    try:
        lines = (tree / "deploy/presets" / _PRESETS[role]).read_text().splitlines()
    except FileNotFoundError:
        return {}
    words = [line.split() for line in lines if line.startswith(("enable ", "disable "))]
    return {unit: verb == "enable" for verb, unit in words}


def files(layout: Layout, tree: Path, *, role: Role = Role.WEB) -> dict[Path, Path]:
    """Where each file of the release in `tree` is copied to."""
    deploy = tree / "deploy"
    units = sorted((deploy / "systemd").iterdir())
    if role is Role.WORKER_HOST:
        names = preset(tree, role).keys() or _OF_WORKER_HOSTS
        units = [unit for unit in units if unit.name in names]
    return {unit: layout.units / unit.name for unit in units} | {
        deploy / "sysusers.d/left4me.conf": layout.root / "etc/sysusers.d/left4me.conf",
        deploy / "tmpfiles.d/left4me.conf": layout.root / "etc/tmpfiles.d/left4me.conf",
        deploy / "polkit/50-left4me.rules": layout.root / "etc/polkit-1/rules.d/50-left4me.rules",
    }


def is_laid_out(layout: Layout, tree: Path, *, role: Role = Role.WEB) -> bool:
    pairs = files(layout, tree, role=role).items()
    return all(_same(source, target) for source, target in pairs) and _command_is_there(layout)


def lay_out(layout: Layout, tree: Path, *, role: Role = Role.WEB) -> list[Path]:
    """Copy the files that differ and make systemd read them; returns those written. Drop-ins are left unchanged."""
    written = []
    for source, target in files(layout, tree, role=role).items():
        if not _same(source, target):
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(target, source.read_bytes(), mode=0o644, durable=True)
            written.append(target)
    if not _command_is_there(layout):
        layout.command.parent.mkdir(parents=True, exist_ok=True)
        layout.command.unlink(missing_ok=True)
        layout.command.symlink_to("/opt/left4me/current/deploy/left4mectl")
        written.append(layout.command)
    if written and layout.root == Path("/"):
        make_account(layout, tree)
        services.reload()
    return written


def exchange_units(layout: Layout, old: Path, new: Path, *, role: Role, stop: bool) -> list[str]:
    """Lay out the files of the release in `new`, and take away units that only the one in `old` has.

    Units that only `new` has start at boot from now on where it says so; returns these. With `stop`, units that are
    taken away end. What the operator has enabled or disabled of the others stays.
    """
    before, after = _unit_names(layout, old, role), _unit_names(layout, new, role)
    gone = sorted(before - after)
    services.disable(gone, stop=stop)
    for name in gone:
        (layout.units / name).unlink(missing_ok=True)
    written = lay_out(layout, new, role=role)
    if gone and not written:
        services.reload()
    starts = preset(new, role)
    added = sorted(name for name in after - before if starts.get(name))
    services.enable_at_boot(added)
    return added


def _unit_names(layout: Layout, tree: Path, role: Role) -> set[str]:
    return {target.name for target in files(layout, tree, role=role).values() if target.parent == layout.units}


def make_account(layout: Layout, tree: Path) -> None:
    """Create users and directories. Existing ones are left unchanged."""
    commands.run(["systemd-sysusers", tree / "deploy/sysusers.d/left4me.conf"], timeout=_SECONDS)
    layout.program.mkdir(parents=True, exist_ok=True)
    commands.run(["systemd-tmpfiles", "--create", tree / "deploy/tmpfiles.d/left4me.conf"], timeout=_SECONDS)


def traces(layout: Layout) -> list[Path]:
    """All files that a release has laid out on this machine, and the operator's drop-ins beside them."""
    units = [*layout.units.glob("*.wants/left4me*"), *layout.units.glob("left4me*")]
    names = ("sysusers.d/left4me.conf", "tmpfiles.d/left4me.conf", "polkit-1/rules.d/50-left4me.rules")
    others = [path for name in names if (path := layout.root / "etc" / name).exists()]
    return [*sorted(units), *others, *([layout.command] if layout.command.is_symlink() else [])]


def remove(layout: Layout) -> None:
    for path in traces(layout):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _same(source: Path, target: Path) -> bool:
    with contextlib.suppress(OSError):
        return source.read_bytes() == target.read_bytes()
    return False


def _command_is_there(layout: Layout) -> bool:
    return layout.command.is_symlink() and str(layout.command.readlink()) == "/opt/left4me/current/deploy/left4mectl"

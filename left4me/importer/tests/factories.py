"""Imports for tests, as the application would have made them."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from left4me.importer.models import Import
from left4me.importer.plan import Admin, File, Item, Plan, ServerPlan, Tree


def make_import(owner: User, **fields: Any) -> Import:
    """An import whose plan waits to be confirmed."""
    given = {"path": "/home/l4d2server", "plan": make_plan().as_json(), **fields}
    return Import.objects.create(owner=owner, user=owner, **given)


def make_plan() -> Plan:
    tree = Tree("serverfiles/left4dead2", "l4d2server")
    tree.take(File("addons/ours.vpk", "left4dead2/addons/ours.vpk", 212_345_678, 0))
    tree.take(File("addons/sourcemod/plugins/a.smx", "left4dead2/addons/sourcemod/plugins/a.smx", 23_456, 0))
    tree.take(File("cfg/extra.cfg", "left4dead2/cfg/extra.cfg", 345, 0))
    tree.leave("serverfiles/left4dead2/pak01_dir.vpk", "game", 12_345_678)
    tree.leave("serverfiles/left4dead2/addons/maps", "link_out")
    tree.leave("serverfiles/left4dead2/cfg/l4d2server.cfg", "config", 812)
    tree.items = [
        Item(2_900_000_001, "addons/workshop/2900000001.vpk", 93_000_000, "Tour of <Terror>", "steam", False)
    ]
    tree.servers = [
        ServerPlan(
            "lgsm/config-lgsm/l4d2server/l4d2server.cfg",
            "Anna's versus, every Friday from eight o'clock on",
            27035,
            "+map c2m1_highway\n-maxplayers 8",
            "z_difficulty Hard\nexec extra.cfg",
            "serverfiles/left4dead2/cfg/l4d2server.cfg",
            ["Line 8: -port 27035: removed. left4me sets the port. Change it on the server's page."],
        ),
        ServerPlan("lgsm/config-lgsm/l4d2server/l4d2server-2.cfg", "Second", None),
    ]
    tree.admins = [Admin(76561197960287930, "z", 99, "Anna")]
    tree.bans.count, tree.bans.paths = 1, ["STEAM_1:0:77"]
    tree.notes = ["/elsewhere/cfg is mounted from elsewhere. Import it by itself."]
    return Plan("/home/l4d2server", "linuxgsm", "", [tree], ["The game is not installed on this host."])

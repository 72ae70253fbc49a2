"""Lists of bans and bans, as the application would have made them."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from left4me.core.steam_ids import BASE as STEAM_ID_64_BASE
from livestate.bans.models import Ban, BanList


def make_list(owner: User, **fields: Any) -> BanList:
    given = {} if fields.get("server") or fields.get("is_default") else {"name": "Cheaters"}
    return BanList.objects.create(owner=owner, **{**given, **fields})


def make_ban(ban_list: BanList, account: int = 101, **fields: Any) -> Ban:
    given = {"target": str(STEAM_ID_64_BASE + account), "name": f"player {account}", "reason": "Cheating", **fields}
    return Ban.objects.create(ban_list=ban_list, **given)

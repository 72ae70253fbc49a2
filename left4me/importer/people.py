"""SourceMod's admins_simple.ini: lines that name a Steam ID become people, and the others stay in the file."""

from __future__ import annotations

import re
from typing import Any, Final

from left4me.core import steam_ids
from left4me.core.rows import storable
from left4me.importer.plan import Admin
from servers.models import GamePerson
from servers.models.game_access import FLAGS, HIGHEST_IMMUNITY

_LINE: Final = re.compile(r"""\s*"([^"]+)"\s+"(?:(\d{1,3}):)?([a-z]+)"\s*(?://\s*(.*)|;\s*(.*))?""", re.IGNORECASE)
_MOST: Final = 500


def read(text: str) -> tuple[list[Admin], str]:
    """The admins, and the text without their lines; empty if nothing but comments is left."""
    found: dict[int, Admin] = {}
    kept = []
    for line in text.replace("\r\n", "\n").split("\n"):
        admin = _admin(line)
        if admin is None or (len(found) >= _MOST and admin.steam_id not in found):
            kept.append(line)
        else:
            # Of two lines for the same Steam ID the first one counts.
            found.setdefault(admin.steam_id, admin)
    rest = [line for line in kept if line.strip() and not line.lstrip().startswith(("//", ";", "#"))]
    return list(found.values()), "\n".join(kept) if _is_meant("\n".join(rest)) else ""


def _is_meant(text: str) -> bool:
    """Whether anything is left outside of the long comment with which the file comes."""
    return bool(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).strip(" *\n"))


def _admin(line: str) -> Admin | None:
    match = _LINE.fullmatch(line.rstrip())
    steam_id = steam_ids.parse(match[1]) if match else None
    if match is None or steam_id is None:
        return None
    flags = "".join(sorted({flag for flag in match[3].lower() if flag in FLAGS}))
    if not flags:
        return None
    name = " ".join(storable(match[4] or match[5] or "", 64).split())
    return Admin(steam_id, flags, min(int(match[2] or 0), HIGHEST_IMMUNITY), name)


def access(admins: list[Admin]) -> dict[str, Any]:
    """The list of a blueprint, as `lists.replace` takes it."""
    return {
        "team_are_admins": False,
        "whitelist": False,
        "reserved_slots": 0,
        "people": [_person(admin) for admin in admins],
    }


def _person(admin: Admin) -> dict[str, Any]:
    roles = {flags: role for role, flags in GamePerson.ROLE_FLAGS.items() if flags}
    role = GamePerson.Role.ADMIN if "z" in admin.flags else roles.get(admin.flags, GamePerson.Role.CUSTOM)
    return {
        "user": None,
        "name": admin.name,
        "steam_id": str(admin.steam_id),
        "role": str(role),
        "flags": admin.flags if role == GamePerson.Role.CUSTOM else "",
        "immunity": admin.immunity,
        "until": None,
    }

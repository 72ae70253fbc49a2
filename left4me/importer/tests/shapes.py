"""Directories as tools and people leave them, small: every kind of file that an import tells apart."""

from __future__ import annotations

import tempfile
from pathlib import Path

from left4me.testing import vpk_files
from servers.simulated import stock

ITEM = 3_012_345_678
HIDDEN = "hunter2secret"


def make_vpk(files: dict[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.vpk"
        vpk_files.write(path, files)
        return path.read_bytes()


def write(top: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return top


def stock_files() -> dict[str, str | bytes]:
    return {path: text for path, text in stock.files().items() if path.startswith("left4dead2/")}


def game(*, server_cfg: str = "server.cfg") -> dict[str, str | bytes]:
    """The game's top folder of a server that is in use, with SourceMod, an addon, a workshop item and its logs."""
    return {
        **stock_files(),
        "srcds_run": "#!/bin/sh\n# srcds_run -game left4dead2\n",
        "bin/engine_srv.so": b"\x7fELF",
        "left4dead2/bin/server_srv.so": b"\x7fELF",
        "left4dead2/pak01_dir.vpk": b"\x34\x12\xaa\x55",
        f"left4dead2/cfg/{server_cfg}": (
            f'hostname "Anna\'s versus"\nrcon_password "{HIDDEN}"\nsv_region 3\nexec extra.cfg\nz_difficulty Hard\n'
        ),
        "left4dead2/cfg/extra.cfg": "sm_cvar director_no_bosses 0\n",
        "left4dead2/cfg/banned_user.cfg": "banid 0 STEAM_1:1:4242\nbanid 0 STEAM_1:0:77\n",
        "left4dead2/cfg/banned_ip.cfg": "addip 0 203.0.113.9\n",
        "left4dead2/addons/metamod.vdf": '"Plugin" { "file" "addons/metamod/bin/server" }\n',
        "left4dead2/addons/sourcemod/plugins/one.smx": b"FFPS",
        "left4dead2/addons/sourcemod/logs/L20260101.log": "old\n",
        "left4dead2/addons/sourcemod/configs/admins_simple.ini": (
            '// admins\n"STEAM_1:0:11101" "99:z" // Anna\n"STEAM_0:1:5" "bce"\n"@Helpers" "b"\n'
        ),
        "left4dead2/addons/ours.vpk": make_vpk({"maps/ours1.bsp": b"VBSP", "missions/ours.txt": b'"mission" {}'}),
        f"left4dead2/addons/workshop/{ITEM}.vpk": make_vpk({"scripts/x.txt": b"x"}),
        f"left4dead2/addons/workshop/{ITEM}.jpg": b"\xff\xd8",
        "left4dead2/logs/L0101.log": "old\n",
        "left4dead2/motd.txt": "Welcome to Anna's.\n",
        "left4dead2/replay.dem": b"HL2DEMO",
        "left4dead2/ems/scores/data.txt": "1\n",
    }


def linuxgsm(top: Path) -> Path:
    """An installation of LinuxGSM with two instances."""
    files = {f"serverfiles/{path}": content for path, content in game(server_cfg="l4d2server.cfg").items()}
    files |= {
        "l4d2server": "#!/bin/bash\n# LinuxGSM\nshortname=l4d2\n",
        "serverfiles/left4dead2/cfg/l4d2server-2.cfg": 'hostname "Second"\nmp_gamemode coop\n',
        "lgsm/config-default/config-lgsm/l4d2server/_default.cfg": "port=1\n",
        "lgsm/config-lgsm/l4d2server/_default.cfg": (
            'port="27015"\ndefaultmap="c5m1_waterfront"\nmaxplayers="8"\n'
            'startparameters="-game left4dead2 -strictportbind -ip ${ip} -port ${port} +clientport ${clientport} '
            '+map ${defaultmap} +servercfgfile ${servercfg} -maxplayers ${maxplayers}"\n'
            'servercfg="${selfname}.cfg"\n'
        ),
        "lgsm/config-lgsm/l4d2server/common.cfg": 'maxplayers="12"\n',
        "lgsm/config-lgsm/l4d2server/l4d2server.cfg": 'port="27035"\ndefaultmap="c2m1_highway"\n',
        "lgsm/config-lgsm/l4d2server/l4d2server-2.cfg": 'port="27045"\n',
        "lgsm/config-lgsm/l4d2server/secrets-common.cfg": f'steampass="{HIDDEN}"\n',
        "log/console/l4d2server-console.log": "old\n",
    }
    return write(top, files)


def panel(top: Path) -> Path:
    """The volume of a Pterodactyl server, with the egg that its operator exported into it."""
    files = game()
    files |= {
        ".pteroignore": "logs\n",
        "steamcmd/steamcmd.sh": "#!/bin/sh\nexit 0 # srcds_run -game left4dead2\n",
        "egg-left-4-dead2.json": (
            '{"name": "Left 4 Dead 2", "startup": "./srcds_run -console -game left4dead2 -port {{SERVER_PORT}} '
            '+map {{SRCDS_MAP}} +ip 0.0.0.0 -strictportbind -norestart", "variables": ['
            '{"env_variable": "SRCDS_MAP", "default_value": "c8m1_apartment"}, '
            '{"env_variable": "SRCDS_APPID", "default_value": "222860"}]}'
        ),
        ".env": "SERVER_PORT=27055\n",
    }
    return write(top, files)


def docker(top: Path) -> Path:
    """A folder with a compose file that mounts addons and settings into an image."""
    files = {
        "docker-compose.yml": (
            "x-common: &common\n  restart: unless-stopped\n"
            "services:\n  l4d2:\n    <<: *common\n    image: left4devops/l4d2:latest\n"
            "    environment:\n      - PORT=${GAME_PORT:-27016}\n      - HOSTNAME=Docked\n"
            "      - DEFAULT_MAP=c1m1_hotel\n"
            "      - DEFAULT_MODE=versus\n      - REGION=3\n      - CVAR_SV_ALLTALK=1\n"
            "    volumes:\n      - ./addons:/home/louis/l4d2/left4dead2/addons\n"
            "      - ./server.cfg:/home/louis/l4d2/left4dead2/cfg/server.cfg\n"
            "      - /elsewhere/cfg:/home/louis/l4d2/left4dead2/cfg/sourcemod\n"
            "  redis:\n    image: redis\n"
        ),
        ".env": "GAME_PORT=27017\n",
        "server.cfg": f"sv_gametypes versus\nrcon_password {HIDDEN}\n",
        "addons/ours.vpk": make_vpk({"maps/ours1.bsp": b"VBSP"}),
        "addons/sourcemod/plugins/one.smx": b"FFPS",
    }
    return write(top, files)


def by_hand(top: Path) -> Path:
    """A directory with srcds, two start scripts, a unit, and links."""
    files = game()
    files |= {
        "start.sh": (
            "#!/bin/bash\nMAP=c3m1_plankcountry\ncd /srv/l4d2\n"
            f"./srcds_run -console -game left4dead2 -port 27018 +map $MAP -tickrate 60 +rcon_password {HIDDEN}\n"
        ),
        "versus.service": (
            "[Service]\nEnvironment=PORT=27019\n"
            "ExecStart=/srv/l4d2/srcds_run -game left4dead2 -port ${PORT} +map c4m1_milltown_a +exec versus.cfg\n"
        ),
        "left4dead2/cfg/versus.cfg": "mp_gamemode versus\n",
        "shared/maps.vpk": make_vpk({"maps/shared1.bsp": b"VBSP"}),
    }
    write(top, files)
    (top / "start.sh").chmod(0o755)
    (top / "left4dead2/addons/shared.vpk").symlink_to("../../shared/maps.vpk")
    (top / "left4dead2/cfg/passwd.cfg").symlink_to("/etc/passwd")
    (top / "left4dead2/addons/out").symlink_to("../../../outside")
    (top / "left4dead2/addons/circle").symlink_to("..")
    return top


SHAPES = {"linuxgsm": linuxgsm, "pterodactyl": panel, "docker": docker, "plain": by_hand}

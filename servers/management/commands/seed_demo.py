from __future__ import annotations

import secrets
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from accounts import actions as account_actions
from accounts.models import User
from left4me.core.net import ports
from left4me.jobs import actions as jobs
from overlays import actions as overlay_actions
from overlays import paths
from overlays.models import Overlay
from servers import actions
from servers.actions import sourcetv
from servers.hosts import this_host
from servers.models import Blueprint, Host, Server

ADMIN = "demo"

_HOUSE_RULES_CFG = """\
// Every server that exposes this overlay executes these lines.
sv_alltalk 0
sv_consistency 1
mp_disable_autokick 1
"""
_CONFIG = """\
z_difficulty Hard
// Lets friends join without a lobby.
sv_allow_lobby_connect_only 0
"""
_SERVERS = {"Friday night": "", "Practice": "sim_players 2\n"}
_RECORDED = "Practice"


class Command(BaseCommand):
    help = "Fill an empty installation with demo data. Running it again adds only what is missing."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            admin = self._admin()
            host = this_host.row()
            blueprint = self._blueprint(admin, self._overlays(admin))
        if not this_host.game_version():
            actions.request_on_host(host=host, operation="install", by=admin)
        for name, config in _SERVERS.items():
            server = self._server(admin, host, name, self._variant(admin, blueprint, name, config))
            if server.desired_state != Server.Desired.RUNNING:
                actions.request(server=server, operation="start", by=admin)

    def _admin(self) -> User:
        present: User | None = User.objects.named(ADMIN).first()
        if present is not None:
            return present
        password = secrets.token_urlsafe(12)
        user = account_actions.create_user(username=ADMIN, password=password, is_admin=True, by=None)
        self.stdout.write(f"sign in as {ADMIN} with the password {password} (it won't be shown again)")
        return user

    def _overlays(self, admin: User) -> list[Overlay]:
        rules = Overlay.objects.system().filter(name="House rules").first()
        if rules is None:
            rules = overlay_actions.create(
                name="House rules", kind=Overlay.Kind.FILES, owner=None, by=admin, expose_cfg=True
            )
            cfg = paths.directory(rules) / paths.CFG
            cfg.parent.mkdir(parents=True, exist_ok=True)
            cfg.write_text(_HOUSE_RULES_CFG)
            jobs.request(operation="build", resource=rules.resource, by=admin, host=this_host.row().name)
        return [rules]

    def _blueprint(self, admin: User, overlays: list[Overlay]) -> Blueprint:
        blueprint = Blueprint.objects.filter(owner=admin, name="Co-op").first()
        return blueprint or actions.create_blueprint(
            owner=admin,
            by=admin,
            name="Co-op",
            description="Four survivors, a short list of rules.",
            arguments="+map c2m1_highway",
            config=_CONFIG,
            overlays=overlays,
        )

    def _variant(self, admin: User, blueprint: Blueprint, name: str, config: str) -> Blueprint:
        """The blueprint itself, or one with more lines for a server that shows something special."""
        if not config:
            return blueprint
        variant = Blueprint.objects.filter(owner=admin, name=name).first()
        return variant or actions.create_blueprint(
            owner=admin, by=admin, name=name, arguments="+map c8m1_apartment", config=config, overlays=blueprint.layers
        )

    def _server(self, admin: User, host: Host, name: str, blueprint: Blueprint) -> Server:
        server = Server.objects.filter(owner=admin, name=name).first()
        if server is not None:
            return server
        server = actions.create_server(
            owner=admin, by=admin, name=name, blueprint=blueprint, host=host, port=self._free_port(host)
        )
        if name == _RECORDED:
            sourcetv.set_options(server=server, by=admin, is_enabled=True, keep_gb=1)
        return server

    def _free_port(self, host: Host) -> int | None:
        """A port that nothing else on this machine holds: another demo may run beside this one."""
        taken = set(host.servers.values_list("port", flat=True))
        return next((port for port in host.ports if port not in taken and ports.is_free(port)), None)

from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"

    def ready(self) -> None:
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from left4me.jobs import queue_reasons, resources
        from overlays.replication import store as replication_store
        from servers import actions, permissions
        from servers.actions import sharing  # noqa: F401 -- hears when a user is deactivated
        from servers.copies import operations as copies
        from servers.game_access import application
        from servers.hosts import disk_watch, own_key, rpc_handlers, silence, start_parts, this_host  # noqa: F401 -- disk_watch starts with the worker
        from servers.identity import live
        from servers.lifecycle import operations
        from servers.models import GameAccess, GamePerson, Server, kept_rows
        from servers.moves import operations as moves
        from servers.plugins import inventory, settings, switches
        from servers.sourcetv import application as sourcetv
        from servers.state import attention

        resources.register_rows(
            "server",
            Server,
            can_see=permissions.can_see_server,
            can_operate=permissions.can_operate_server,
            can_change=permissions.can_edit_server,
            mend=attention.mend_server,
            before_retry=actions.before_retry,
        )
        register(permissions.audience, signals.SERVER, signals.PLAYERS, signals.USAGE)
        register(permissions.operators, signals.ORDER)
        # Every user sees the hosts.
        register(dict.fromkeys, signals.HOST, signals.LOAD)
        register(permissions.blueprint_audience, signals.BLUEPRINT)
        queue_reasons.register_host_health(silence.troubles)
        operations.register()
        own_key.register()
        moves.register()
        copies.register()
        start_parts.register(live.for_start)
        start_parts.register(application.for_start)
        start_parts.register(switches.for_start)
        start_parts.register(settings.for_start)
        start_parts.register(sourcetv.for_start)
        rpc_handlers.register("plugins", inventory.answer)
        rpc_handlers.register("plugin_files", settings.answer_files)
        rpc_handlers.register("plugin_settings", settings.answer)
        rpc_handlers.register("sourcetv", sourcetv.answer)
        kept_rows.register(
            lambda server: GameAccess.objects.filter(server=server), lambda server: GamePerson.objects.of(server)
        )
        replication_store.register_mounts(lambda: this_host.storage().layers_in_use())

from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"

    def ready(self) -> None:
        from left4me.jobs import queue_reasons, resources
        from overlays.replication import store as replication_store
        from servers import permissions
        from servers.hosts import silence, this_host
        from servers.lifecycle import operations
        from servers.models import Server
        from servers.state import attention

        resources.register_rows(
            "server",
            Server,
            can_see=permissions.can_see_server,
            can_operate=permissions.can_operate_server,
            mend=attention.mend_server,
        )
        queue_reasons.register_host_health(silence.troubles)
        operations.register()
        replication_store.register_mounts(lambda: this_host.storage().layers_in_use())

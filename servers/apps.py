from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"
    label = "servers"

    def ready(self) -> None:
        from overlays.replication import store as replication_store
        from servers import job_policy
        from servers.hosts import this_host
        from servers.lifecycle import operations

        job_policy.register()
        operations.register()
        replication_store.register_mounts(lambda: this_host.storage().layers_in_use())

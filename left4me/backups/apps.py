from django.apps import AppConfig


class BackupsConfig(AppConfig):
    name = "left4me.backups"

    def ready(self) -> None:
        from left4me.backups import operations
        from servers.hosts import rpc_handlers

        rpc_handlers.register("backup_piece", operations.piece)
        rpc_handlers.register("backup_plan", operations.plan)

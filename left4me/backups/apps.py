from django.apps import AppConfig


class BackupsConfig(AppConfig):
    name = "left4me.backups"

    def ready(self) -> None:
        from left4me.backups import operations, whole_machine
        from left4me.backups.models import Backup
        from servers.hosts import rpc_handlers
        from servers.models import kept_rows

        rpc_handlers.register("backup_piece", operations.piece)
        rpc_handlers.register("backup_plan", operations.plan)
        rpc_handlers.register("machine_backups", whole_machine.listed)
        kept_rows.register(lambda server: Backup.objects.of(server).complete())

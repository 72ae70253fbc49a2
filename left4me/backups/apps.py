from django.apps import AppConfig


class BackupsConfig(AppConfig):
    name = "left4me.backups"

    def ready(self) -> None:
        from left4me.backups import operations, whole_machine
        from left4me.backups.models import Backup, folder
        from servers.hosts import belongings, rpc_handlers
        from servers.models import kept_rows

        rpc_handlers.register("backup_piece", operations.piece)
        rpc_handlers.register("backup_plan", operations.plan)
        rpc_handlers.register("machine_backups", whole_machine.listed)
        kept_rows.register(lambda server: Backup.objects.of(server).complete())
        belongings.register(
            "backups",
            lambda server_id: folder() / f"server-{server_id}",
            moved=Backup.objects.has_moved,
            arrived=Backup.objects.forget_missing,
            gone=lambda server: Backup.objects.of(server).delete() and None,
        )

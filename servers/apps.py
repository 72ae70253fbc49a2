from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"
    label = "servers"

    def ready(self) -> None:
        from overlays.transfer import copies
        from servers import access, local, operations

        access.register()
        operations.register()
        copies.ask_before_removing(lambda: local.storage().layers_in_use())

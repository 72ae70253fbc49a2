from django.apps import AppConfig


class ServersConfig(AppConfig):
    name = "servers"
    label = "servers"

    def ready(self) -> None:
        from servers import access, operations

        access.register()
        operations.register()

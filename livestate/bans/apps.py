from django.apps import AppConfig


class BansConfig(AppConfig):
    name = "livestate.bans"
    label = "bans"

    def ready(self) -> None:
        from livestate.bans import start_files
        from servers.hosts import start_parts

        start_parts.register(start_files.make)

from django.apps import AppConfig


class BansConfig(AppConfig):
    name = "livestate.bans"
    label = "bans"

    def ready(self) -> None:
        from livestate.bans import start_files
        from servers.lifecycle import launch_plan

        launch_plan.register_start_files(start_files.write)

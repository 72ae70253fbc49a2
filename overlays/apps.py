from django.apps import AppConfig


class OverlaysConfig(AppConfig):
    name = "overlays"
    label = "overlays"

    def ready(self) -> None:
        # Registers operations on overlays, and who may see their jobs.
        from overlays import access, operations, removal  # noqa: F401

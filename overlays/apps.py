from django.apps import AppConfig


class OverlaysConfig(AppConfig):
    name = "overlays"
    label = "overlays"

    def ready(self) -> None:
        from overlays import operations  # noqa: F401 -- registers what jobs can do with overlays

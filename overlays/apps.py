from django.apps import AppConfig


class OverlaysConfig(AppConfig):
    name = "overlays"
    label = "overlays"

    def ready(self) -> None:
        # Registers what jobs can do with overlays, and who may see those jobs.
        from overlays import job_policy, operations  # noqa: F401

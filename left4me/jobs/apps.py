from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "left4me.jobs"

    def ready(self) -> None:
        # Registers the diagnostic operation.
        from left4me.jobs import diagnostic  # noqa: F401

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "left4me.jobs"

    def ready(self) -> None:
        from left4me.audit import sentences
        from left4me.jobs import (
            diagnostic,  # noqa: F401 -- registers the diagnostic operation
            resources,
        )

        sentences.register_labels(resources.labels)

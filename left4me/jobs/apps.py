from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "left4me.jobs"

    def ready(self) -> None:
        from left4me.audit import sentences
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from left4me.jobs import (
            diagnostic,  # noqa: F401 -- registers the diagnostic operation
            permissions,
            resources,
        )

        sentences.register_labels(resources.labels)
        register(permissions.audience, signals.JOB, signals.PROGRESS)

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class Left4meConfig(AppConfig):
    """The root as an app: owns the base templates, template tags and commands that belong to no other app."""

    name = "left4me"
    label = "left4me"

    def ready(self) -> None:
        # Whoever sends a wake-up needs the configured Celery application, not only the worker.
        from left4me import celery  # noqa: F401


class AdminConfig(DjangoAdminConfig):
    default_site = "left4me.admin.Site"

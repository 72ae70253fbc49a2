from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig
from django.db.models.signals import post_migrate
from django.urls import register_converter

from left4me.core.web.ids import IdConverter


class Left4meConfig(AppConfig):
    """The site itself as an app: base templates, template tags, and the commands that belong to no other app."""

    name = "left4me.site"
    label = "left4me"

    def ready(self) -> None:
        register_converter(IdConverter, "id")

        # Every process that sends tasks needs the configured Celery application, not only the worker.
        from left4me import celery  # noqa: F401
        from left4me.alerts import permissions as alert_permissions
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from left4me.site import host_rights

        register(alert_permissions.audience, signals.CHANNEL)

        # With a sender, the handler runs once per `migrate`: for this app, which every `migrate` includes.
        post_migrate.connect(host_rights.after_migrate, sender=self, dispatch_uid="left4me.site.host_rights")


class AdminConfig(DjangoAdminConfig):
    default_site = "left4me.site.admin.Site"

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class Left4meConfig(AppConfig):
    """The root as an app: owns the base templates, template tags and commands that belong to no other app."""

    name = "left4me"
    label = "left4me"


class AdminConfig(DjangoAdminConfig):
    default_site = "left4me.admin.Site"

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "left4me.audit"
    label = "audit"

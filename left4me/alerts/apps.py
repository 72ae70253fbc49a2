from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "left4me.alerts"
    label = "alerts"
    verbose_name = "Alerts"

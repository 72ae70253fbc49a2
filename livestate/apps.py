from django.apps import AppConfig


class LivestateConfig(AppConfig):
    name = "livestate"
    label = "livestate"

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "left4me.jobs"
    label = "jobs"

from django.apps import AppConfig


class ImporterConfig(AppConfig):
    name = "left4me.importer"

    def ready(self) -> None:
        from left4me.importer import operations, permissions  # noqa: F401 -- registers the operations
        from left4me.jobs import resources

        resources.register("import", can_see=permissions.nobody_else, labels=permissions.labels)

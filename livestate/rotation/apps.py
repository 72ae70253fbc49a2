from django.apps import AppConfig


class RotationConfig(AppConfig):
    name = "livestate.rotation"
    label = "rotation"

    def ready(self) -> None:
        from livestate import history, sweep
        from livestate.rotation import events, start_files
        from livestate.rotation.models import GameEvent, MapState, Rotation
        from servers.hosts import start_parts
        from servers.models import kept_rows

        sweep.listen(events.Reader)
        history.expire(lambda before: GameEvent.objects.filter(at__lt=before))
        start_parts.register(start_files.make)
        kept_rows.register(
            lambda server: Rotation.objects.filter(server=server),
            lambda server: MapState.objects.filter(server=server),
        )

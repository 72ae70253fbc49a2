from django.apps import AppConfig


class RotationConfig(AppConfig):
    name = "livestate.rotation"
    label = "rotation"

    def ready(self) -> None:
        from livestate import history, sweep
        from livestate.rotation import events, exports, start_files
        from livestate.rotation.models import GameEvent, MapState, Rotation
        from servers.actions import blueprint_parts
        from servers.hosts import start_parts
        from servers.models import kept_rows

        sweep.listen(events.Reader)
        history.expire(lambda before: GameEvent.objects.filter(at__lt=before))
        start_parts.register(start_files.make)
        blueprint_parts.register(exports.PART)
        kept_rows.register(
            lambda server: Rotation.objects.filter(server=server),
            lambda server: MapState.objects.filter(server=server),
        )

from django.apps import AppConfig


class DemosConfig(AppConfig):
    name = "livestate.demos"
    label = "demos"

    def ready(self) -> None:
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from livestate.demos import lookups, operations
        from livestate.demos.models import Demo
        from livestate.matches import demos as match_demos
        from servers import permissions
        from servers.hosts import rpc_handlers
        from servers.models import kept_rows

        register(permissions.audience, signals.DEMOS)
        rpc_handlers.register("demo_piece", operations.piece)
        match_demos.register(lookups.of_match)
        kept_rows.register(lambda server: Demo.objects.filter(server=server))

from django.apps import AppConfig


class MatchesConfig(AppConfig):
    name = "livestate.matches"
    label = "matches"

    def ready(self) -> None:
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from livestate.matches import holds
        from livestate.matches.models import Match, MatchPlayer
        from servers import permissions
        from servers.actions import interruptions
        from servers.models import kept_rows

        interruptions.register(holds.of_servers)
        register(permissions.audience, signals.MATCH)
        kept_rows.register(
            lambda server: Match.objects.filter(server=server),
            lambda server: MatchPlayer.objects.filter(match__server=server),
        )

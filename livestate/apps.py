from django.apps import AppConfig


class LivestateConfig(AppConfig):
    name = "livestate"

    def ready(self) -> None:
        from livestate import live, views
        from livestate.figures import sparklines
        from servers.state import live_source

        live_source.register(
            read=lambda servers, now: live.of_servers(servers, now=now),
            render_players=views.players_of_overview,
            sparklines=lambda servers, now: sparklines.of_servers(servers, now=now),
        )

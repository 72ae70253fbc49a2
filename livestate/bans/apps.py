from django.apps import AppConfig
from django.db.models import Q


class BansConfig(AppConfig):
    name = "livestate.bans"
    label = "bans"

    def ready(self) -> None:
        from livestate.bans import start_files
        from livestate.bans.models import Ban, BanList, Subscription
        from servers.hosts import start_parts
        from servers.models import kept_rows

        start_parts.register(start_files.make)
        kept_rows.register(
            lambda server: BanList.objects.filter(server=server),
            lambda server: Ban.objects.filter(ban_list__server=server),
            lambda server: Subscription.objects.filter(Q(server=server) | Q(ban_list__server=server)),
        )

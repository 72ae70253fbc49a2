from django.apps import AppConfig


class OverlaysConfig(AppConfig):
    name = "overlays"

    def ready(self) -> None:
        from left4me.core.redis import signals
        from left4me.core.web.sse.signals import register
        from left4me.jobs import resources
        from overlays import attention, operations, permissions  # noqa: F401 -- registers the operations
        from overlays.models import Overlay

        resources.register_rows(
            "overlay",
            Overlay,
            can_see=permissions.can_see_overlay,
            can_operate=permissions.can_edit_overlay,
            mend=attention.mend_overlay,
        )
        register(permissions.audience, signals.OVERLAY)

from django.urls import path

from left4me.backups import machine_views, views

app_name = "backups"
_KINDS = ("servers", "overlays")
urlpatterns = [
    path("backups", machine_views.show, name="machine"),
    path("backups/create", machine_views.create, name="create_of_machine"),
    path("servers/<id:pk>/backups", views.list_, {"kind": "servers"}, name="of_server"),
    path("overlays/<id:pk>/backups", views.list_, {"kind": "overlays"}, name="of_overlay"),
    *(path(f"{kind}/<id:pk>/backups/create", views.create, {"kind": kind}, name="create") for kind in _KINDS),
    *(
        path(f"{kind}/<id:pk>/backups/<id:backup_id>/{view.__name__}", view, {"kind": kind}, name=view.__name__)
        for kind in _KINDS
        for view in (views.plan, views.restore, views.delete, views.download)
    ),
]

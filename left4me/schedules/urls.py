from django.urls import path

from left4me.schedules import bulk_views, views

app_name = "schedules"
urlpatterns = [
    path("schedules", views.list_, name="list"),
    path("schedules/new", views.new, name="new"),
    path("schedules/preview", views.preview, name="preview"),
    path("schedules/<id:pk>", views.detail, name="detail"),
    path("schedules/<id:pk>/edit", views.edit, name="edit"),
    path("schedules/<id:pk>/switch", views.switch, name="switch"),
    path("schedules/<id:pk>/delete", views.delete, name="delete"),
    path("bulk/new", bulk_views.new, name="bulk_new"),
    path("bulk/<id:pk>", bulk_views.detail, name="bulk"),
    path("bulk/<id:pk>/cancel", bulk_views.cancel, name="bulk_cancel"),
    path("hosts/<id:pk>/bulk", bulk_views.of_host, name="bulk_of_host"),
    path("servers/<id:pk>/schedules", views.of_server, name="of_server"),
    path("servers/<id:pk>/when-empty", views.when_empty, name="when_empty"),
    path("servers/<id:pk>/runs/<id:run_pk>/cancel", views.cancel_run, name="cancel_run"),
]

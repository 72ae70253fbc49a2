from django.urls import path

from livestate import views

app_name = "livestate"
urlpatterns = [
    path("servers/live-badges", views.badges, name="badges"),
    path("servers/<int:pk>/live-state", views.panel, name="panel"),
    path("servers/<int:pk>/history", views.history, name="history"),
    path("servers/<int:pk>/history.csv", views.history_csv, name="history_csv"),
    path("players/<int:steam_id_64>", views.player, name="player"),
]

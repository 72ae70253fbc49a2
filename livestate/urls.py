from django.urls import path

from livestate import console, views

app_name = "livestate"
urlpatterns = [
    path("servers/live-badges", views.badges, name="badges"),
    path("servers/<int:pk>/live-state", views.panel, name="panel"),
    path("servers/<int:pk>/history", views.history, name="history"),
    path("servers/<int:pk>/history.csv", views.history_csv, name="history_csv"),
    path("servers/<int:pk>/console", console.console, name="console"),
    path("servers/<int:pk>/console/completions", console.completions, name="completions"),
    path("servers/<int:pk>/console/<int:order_pk>", console.entry, name="order"),
    path("servers/<int:pk>/orders", console.order, name="give_order"),
    path("players/<int:steam_id_64>", views.player, name="player"),
]

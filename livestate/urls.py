from django.urls import path

from livestate import order_views, views
from livestate.figures import views as figure_views
from livestate.players import views as player_views

app_name = "livestate"
urlpatterns = [
    path("servers/<id:pk>/live-state", views.panel, name="panel"),
    path("servers/<id:pk>/players", views.players, name="players"),
    path("servers/<id:pk>/history", views.history, name="history"),
    path("servers/<id:pk>/history.csv", views.history_csv, name="history_csv"),
    path("servers/<id:pk>/figures", figure_views.of_server, name="figures"),
    path("hosts/<id:pk>/figures", figure_views.of_host, name="host_figures"),
    path("servers/<id:pk>/console", order_views.console, name="console"),
    path("servers/<id:pk>/console/completions", order_views.completions, name="completions"),
    path("servers/<id:pk>/console/<id:order_pk>", order_views.entry, name="order"),
    path("servers/<id:pk>/orders", order_views.order, name="give_order"),
    path("players", player_views.list_, name="player_list"),
    path("players/<id:steam_id_64>", player_views.detail, name="player"),
    path("players/<id:steam_id_64>/notes", player_views.add_note, name="add_note"),
    path("players/<id:steam_id_64>/forget", player_views.forget, name="forget_player"),
    path("notes/<id:pk>", player_views.note, name="note"),
    path("notes/<id:pk>/delete", player_views.delete_note, name="delete_note"),
]

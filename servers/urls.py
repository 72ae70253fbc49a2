from django.urls import path

from servers.views import blueprints, facts, hosts, logs, players, servers, sharing

app_name = "servers"
urlpatterns = [
    path("servers", servers.list_, name="list"),
    path("servers/new", servers.new, name="new"),
    path("servers/<int:pk>", servers.detail, name="detail"),
    path("servers/<int:pk>/state", servers.state, name="state"),
    path("servers/<int:pk>/edit", servers.edit, name="edit"),
    path("servers/<int:pk>/actions", servers.action, name="action"),
    path("servers/<int:pk>/changes", servers.pending, name="changes"),
    path("servers/<int:pk>/delete", servers.delete, name="delete"),
    path("servers/<int:pk>/shares", sharing.share, name="share"),
    path("servers/<int:pk>/shares/<int:share_pk>/revoke", sharing.revoke, name="revoke"),
    path("servers/<int:pk>/logs", logs.logs, name="logs"),
    path("servers/<int:pk>/logs/search", logs.log_search, name="log_search"),
    path("servers/<int:pk>/logs/files", logs.log_files, name="log_files"),
    path("servers/<int:pk>/logs/download", logs.log_download, name="log_download"),
    path("servers/<int:pk>/resources", facts.resources, name="resources"),
    path("servers/<int:pk>/states", facts.history, name="history"),
    path("servers/<int:pk>/password", sharing.password, name="password"),
    path("servers/<int:pk>/password/rotate", sharing.rotate, name="rotate"),
    path("servers/<int:pk>/players-link", players.players_link, name="players_link"),
    path("join/<str:token>", players.join, name="join"),
    path("hosts", hosts.hosts, name="hosts"),
    path("hosts/<int:pk>", hosts.host, name="host"),
    path("hosts/<int:pk>/actions", hosts.host_action, name="host_action"),
    path("blueprints", blueprints.blueprints, name="blueprints"),
    path("blueprints/new", blueprints.blueprint_new, name="blueprint_new"),
    path("blueprints/import", blueprints.blueprint_import, name="blueprint_import"),
    path("blueprints/<int:pk>", blueprints.blueprint, name="blueprint"),
    path("blueprints/<int:pk>/edit", blueprints.blueprint_edit, name="blueprint_edit"),
    path("blueprints/<int:pk>/move", blueprints.blueprint_move, name="blueprint_move"),
    path("blueprints/<int:pk>/clone", blueprints.blueprint_clone, name="blueprint_clone"),
    path("blueprints/<int:pk>/export", blueprints.blueprint_export, name="blueprint_export"),
    path("blueprints/<int:pk>/delete", blueprints.blueprint_delete, name="blueprint_delete"),
]

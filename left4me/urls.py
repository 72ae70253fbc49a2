from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from left4me.api import api
from left4me.core.web import undo
from left4me.site import bell, host_access, installed_app, palette, styleguide, views
from left4me.site.metrics.views import metrics

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("palette", palette.palette, name="palette"),
    path("bell", bell.bell, name="bell"),
    path("bell/seen", bell.seen, name="bell_seen"),
    path("app.webmanifest", installed_app.manifest, name="manifest"),
    path("sw.js", installed_app.worker, name="service_worker"),
    path("offline", installed_app.offline, name="offline"),
    path("theme", views.theme, name="theme"),
    path("undo/<str:token>", undo.undo, name="undo"),
    path("styleguide", styleguide.styleguide, name="styleguide"),
    path("hosts/<id:pk>/access", host_access.host_access, name="host_access"),
    path("health", views.health, name="health"),
    path("ready", views.ready, name="ready"),
    path("metrics", metrics, name="metrics"),
    path("", include("accounts.urls")),
    path("", include("left4me.alerts.urls")),
    path("", include("overlays.urls")),
    path("", include("servers.urls")),
    path("", include("left4me.jobs.urls")),
    path("", include("livestate.urls")),
    path("", include("livestate.bans.urls")),
    path("", include("livestate.rotation.urls")),
    path("", include("livestate.matches.urls")),
    path("", include("livestate.demos.urls")),
    path("", include("left4me.importer.urls")),
    path("", include("left4me.backups.urls")),
    path("", include("left4me.schedules.urls")),
    path("", include("left4me.status_pages.urls")),
    path("", include("left4me.audit.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
    *([path("", include(settings.SIMULATED_STEAM_URLS))] if settings.SIMULATED_STEAM_URLS else []),
]

handler400 = "left4me.site.error_pages.bad_request"
handler403 = "left4me.site.error_pages.permission_denied"
handler404 = "left4me.site.error_pages.page_not_found"
handler500 = "left4me.site.error_pages.server_error"

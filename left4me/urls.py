from django.contrib import admin
from django.urls import include, path

from left4me import views
from left4me.api import api

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("health", views.health, name="health"),
    path("ready", views.ready, name="ready"),
    path("", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
]

handler400 = "left4me.faults.bad_request"
handler403 = "left4me.faults.forbidden"
handler404 = "left4me.faults.not_found"
handler500 = "left4me.faults.server_error"

from django.contrib import admin
from django.urls import include, path

from left4me import views
from left4me.api import api

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("health", views.health, name="health"),
    path("ready", views.ready, name="ready"),
    path("accounts/", include("accounts.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", api.urls),
]

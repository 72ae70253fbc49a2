"""Addresses of workshop items; part of the `overlays` namespace."""

from django.urls import path

from overlays.workshop_items import cache_views, views

urlpatterns = [
    path("workshop", cache_views.cache, name="cache"),
    path("workshop/refresh", cache_views.refresh_all, name="refresh_all"),
    path("workshop/tidy", cache_views.tidy, name="tidy"),
    path("overlays/conflicts", views.overlay_conflicts, name="conflicts"),
    path("overlays/<int:pk>/items", views.items, name="items"),
    path("overlays/<int:pk>/items/remove", views.remove_items, name="remove_items"),
    path("overlays/<int:pk>/collections/<int:collection_id>/unfollow", views.unfollow_collection, name="unfollow"),
    path("overlays/<int:pk>/refresh", views.refresh, name="refresh"),
    path("overlays/<int:pk>/build", views.build, name="build"),
]

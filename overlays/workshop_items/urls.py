"""URLs of workshop items, in the `overlays` namespace."""

from django.urls import path

from overlays.workshop_items import cache_views, views

urlpatterns = [
    path("workshop", cache_views.cache, name="cache"),
    path("workshop/refresh", cache_views.refresh_all, name="refresh_all"),
    path("workshop/tidy", cache_views.tidy, name="tidy"),
    path("overlays/conflicts", views.overlay_conflicts, name="conflicts"),
    path("overlays/<id:pk>/items", views.items, name="items"),
    path("overlays/<id:pk>/items/remove", views.remove_items, name="remove_items"),
    path("overlays/<id:pk>/items/<id:steam_id>/retry", views.retry_item, name="retry_item"),
    path("overlays/<id:pk>/collections/<id:collection_id>/unfollow", views.unfollow_collection, name="unfollow"),
    path("overlays/<id:pk>/refresh", views.refresh, name="refresh"),
    path("overlays/<id:pk>/build", views.build, name="build"),
]

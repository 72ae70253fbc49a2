from django.urls import path

from overlays import views
from overlays.files import urls as files_urls
from overlays.workshop_items import urls as items_urls

app_name = "overlays"
urlpatterns = [
    path("overlays", views.list_, name="list"),
    path("overlays/new", views.new, name="new"),
    path("overlays/<id:pk>", views.detail, name="detail"),
    path("overlays/<id:pk>/edit", views.edit, name="edit"),
    path("overlays/<id:pk>/programs/allow", views.allow_programs, name="allow_programs"),
    path("overlays/<id:pk>/delete", views.delete, name="delete"),
    path("overlays/<id:pk>/addons/<id:addon_id>/link", views.set_link, name="set_link"),
    path("overlays/<id:pk>/plugins", views.plugins, name="plugins"),
    *items_urls.urlpatterns,
    *files_urls.urlpatterns,
]

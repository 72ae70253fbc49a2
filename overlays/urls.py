from django.urls import path

from overlays import views
from overlays.files import urls as files_urls
from overlays.workshop_items import urls as items_urls

app_name = "overlays"
urlpatterns = [
    path("overlays", views.list_, name="list"),
    path("overlays/new", views.new, name="new"),
    path("overlays/<int:pk>", views.detail, name="detail"),
    path("overlays/<int:pk>/edit", views.edit, name="edit"),
    path("overlays/<int:pk>/delete", views.delete, name="delete"),
    *items_urls.urlpatterns,
    *files_urls.urlpatterns,
]

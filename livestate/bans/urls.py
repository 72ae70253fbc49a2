from django.urls import path

from livestate.bans import list_views, views

app_name = "bans"
urlpatterns = [
    path("bans", views.list_, name="list"),
    path("bans/new", views.new, name="new"),
    path("bans/import", list_views.import_, name="import"),
    path("bans/<id:pk>", views.detail, name="detail"),
    path("bans/<id:pk>/edit", views.edit, name="edit"),
    path("bans/<id:pk>/lift", views.lift, name="lift"),
    path("banlists", list_views.lists, name="lists"),
    path("banlists/new", list_views.new_list, name="new_list"),
    path("banlists/<id:pk>", list_views.list_detail, name="list_detail"),
    path("banlists/<id:pk>/delete", list_views.delete_list, name="delete_list"),
    path("banlists/<id:pk>/subscription", list_views.subscription, name="subscription"),
    path("banlists/<id:pk>/export", list_views.export, name="export"),
]

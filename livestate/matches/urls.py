from django.urls import path

from livestate.matches import views

app_name = "matches"
urlpatterns = [
    path("matches", views.list_, name="list"),
    path("matches/<id:pk>", views.detail, name="detail"),
    path("matches/<id:pk>/load", views.load, name="load"),
    path("matches/<id:pk>/end", views.end, name="end"),
    path("servers/<id:pk>/matches", views.of_server, name="of_server"),
]

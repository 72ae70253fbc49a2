from django.urls import path

from livestate.demos import views

app_name = "demos"
urlpatterns = [
    path("servers/<id:pk>/demos", views.list_, name="of_server"),
    path("servers/<id:pk>/demos/settings", views.settings, name="settings"),
    path("servers/<id:pk>/demos/delete", views.delete, name="delete"),
    path("servers/<id:pk>/demos/<id:demo_pk>", views.demo, name="demo"),
    path("servers/<id:pk>/demos/<id:demo_pk>/download", views.download, name="download"),
]

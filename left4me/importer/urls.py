from django.urls import path

from left4me.importer import views

app_name = "importer"
urlpatterns = [
    path("imports", views.index, name="index"),
    path("imports/<id:pk>", views.detail, name="detail"),
    path("imports/<id:pk>/carry-out", views.carry_out, name="carry_out"),
    path("imports/<id:pk>/again", views.again, name="again"),
    path("imports/<id:pk>/discard", views.discard, name="discard"),
]

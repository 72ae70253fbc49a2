from django.urls import path

from left4me.alerts import views

app_name = "alerts"
urlpatterns = [
    path("accounts/alerts/", views.channels, name="channels"),
    path("accounts/alerts/<id:pk>/", views.channel, name="channel"),
    path("accounts/alerts/<id:pk>/test/", views.test, name="test"),
    path("accounts/alerts/<id:pk>/confirm/", views.confirm, name="confirm"),
    path("accounts/alerts/<id:pk>/switch/", views.switch, name="switch"),
    path("accounts/alerts/<id:pk>/delete/", views.delete, name="delete"),
]

from django.urls import path

from left4me.jobs import views

app_name = "jobs"
urlpatterns = [
    path("jobs", views.index, name="index"),
    path("jobs/diagnose", views.diagnose, name="diagnose"),
    path("jobs/<id:pk>", views.detail, name="detail"),
    path("jobs/<id:pk>/log", views.log, name="log"),
    path("jobs/<id:pk>/cancel", views.cancel, name="cancel"),
    path("jobs/<id:pk>/retry", views.retry, name="retry"),
]

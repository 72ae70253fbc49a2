from django.urls import path

from left4me.audit import views

app_name = "audit"
urlpatterns = [path("audit", views.entries, name="entries")]

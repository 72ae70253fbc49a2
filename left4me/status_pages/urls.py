from django.urls import path

from left4me.status_pages import public, views

app_name = "status_pages"
urlpatterns = [
    path("status-pages", views.list_, name="list"),
    path("status-pages/new", views.new, name="new"),
    path("status-pages/<id:pk>", views.edit, name="edit"),
    path("status-pages/<id:pk>/switch", views.switch, name="switch"),
    path("status-pages/<id:pk>/reset", views.reset, name="reset"),
    path("status-pages/<id:pk>/delete", views.delete, name="delete"),
    path("accounts/alerts/<id:pk>/message/", views.message, name="message"),
    path("status/<slug:slug>", public.page, name="page"),
    path("status/<slug:slug>.json", public.as_json, name="json"),
    path("status/<slug:slug>/servers", public.servers, name="servers"),
    path("status/<slug:slug>/join/<id:pk>", public.join, name="join"),
]

from django.urls import path

from livestate.rotation import views

app_name = "rotation"
urlpatterns = [
    path("servers/<id:pk>/maps", views.of_server, name="of_server"),
    path("servers/<id:pk>/maps/queue", views.queue, name="queue"),
    path("servers/<id:pk>/maps/next", views.next_, name="next"),
    path("servers/<id:pk>/maps/rotation", views.rotation_of_server, name="rotation_of_server"),
    path("blueprints/<id:pk>/maps", views.of_blueprint, name="of_blueprint"),
    path("blueprints/<id:pk>/maps/rotation", views.rotation_of_blueprint, name="rotation_of_blueprint"),
]

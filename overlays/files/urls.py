"""Addresses of an overlay's files; part of the `overlays` namespace."""

from django.urls import path

from overlays.files import script_views, upload_views, views

urlpatterns = [
    path("overlays/<int:pk>/files", views.files, name="files"),
    path("overlays/<int:pk>/files/upload", views.upload_files, name="upload_files"),
    path("overlays/<int:pk>/files/folder", views.make_folder, name="make_folder"),
    path("overlays/<int:pk>/files/rename", views.rename_file, name="rename_file"),
    path("overlays/<int:pk>/files/delete", views.delete_files, name="delete_files"),
    path("overlays/<int:pk>/files/download", views.download_file, name="download_file"),
    path("overlays/<int:pk>/files/edit", views.edit_file, name="edit_file"),
    path("overlays/<int:pk>/uploads", upload_views.start_upload, name="start_upload"),
    path("overlays/<int:pk>/uploads/<int:upload_id>", upload_views.upload_chunk, name="upload_chunk"),
    path("overlays/<int:pk>/uploads/<int:upload_id>/finish", upload_views.finish_upload, name="finish_upload"),
    path("overlays/<int:pk>/uploads/<int:upload_id>/abort", upload_views.abort_upload, name="abort_upload"),
    path("overlays/<int:pk>/script", script_views.script, name="script"),
]

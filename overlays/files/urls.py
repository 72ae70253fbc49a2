"""URLs of an overlay's files, in the `overlays` namespace."""

from django.urls import path

from overlays.files import plan_views, script_views, trash_views, upload_views, views

urlpatterns = [
    path("overlays/<id:pk>/files", views.files, name="files"),
    path("overlays/<id:pk>/files/upload", views.upload_files, name="upload_files"),
    path("overlays/<id:pk>/files/folder", views.make_folder, name="make_folder"),
    path("overlays/<id:pk>/files/rename", views.rename_file, name="rename_file"),
    path("overlays/<id:pk>/files/delete", trash_views.delete_files, name="delete_files"),
    path("overlays/<id:pk>/files/deleted", trash_views.deleted_files, name="deleted_files"),
    path("overlays/<id:pk>/files/deleted/<id:deleted_id>/restore", trash_views.restore_file, name="restore_file"),
    path("overlays/<id:pk>/files/deleted/<id:deleted_id>/discard", trash_views.discard_file, name="discard_file"),
    path("overlays/<id:pk>/files/download", views.download_file, name="download_file"),
    path("overlays/<id:pk>/files/edit", views.edit_file, name="edit_file"),
    path("overlays/<id:pk>/uploads", upload_views.start_upload, name="start_upload"),
    path("overlays/<id:pk>/uploads/<id:upload_id>", upload_views.upload_chunk, name="upload_chunk"),
    path("overlays/<id:pk>/uploads/<id:upload_id>/finish", upload_views.finish_upload, name="finish_upload"),
    path("overlays/<id:pk>/uploads/<id:upload_id>/abort", upload_views.abort_upload, name="abort_upload"),
    path("overlays/<id:pk>/uploads/<id:upload_id>/plan", plan_views.plan, name="archive_plan"),
    path("overlays/<id:pk>/uploads/<id:upload_id>/discard", plan_views.discard, name="discard_upload"),
    path("overlays/<id:pk>/files/fetch", plan_views.fetch_archive, name="fetch_archive"),
    path("overlays/<id:pk>/script", script_views.script, name="script"),
]

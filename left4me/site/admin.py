from django.conf import settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Site(AdminSite):
    """Django's admin for those with `is_admin`. One signs in, and changes a password, at the one door only:
    the forms that Django brings would go round its throttles and its record."""

    site_header = site_title = "left4me"
    index_title = gettext_lazy("Everything, as rows")

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and getattr(user, "is_admin", False))

    def login(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        # Anonymous visitors went to the one door before they came here: this is somebody without the right.
        if not self.has_permission(request):
            raise PermissionDenied(_("This is for admins."))
        return redirect("admin:index")

    def logout(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:  # type: ignore[override]
        return redirect(settings.LOGIN_REDIRECT_URL)

    def password_change(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:  # type: ignore[override]
        return redirect("accounts:password")

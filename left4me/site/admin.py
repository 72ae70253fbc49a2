import redis
from django.conf import settings
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from left4me.core.web.request import is_admin
from left4me.site import sizes

_TABLES_SHOWN = 12


class Site(AdminSite):
    """Django's admin, for users with `is_admin`.

    Login and password change use the site's own views, so their throttling and audit log apply.
    """

    site_header = site_title = "left4me"
    index_title = gettext_lazy("Database")

    def has_permission(self, request: HttpRequest) -> bool:
        return is_admin(request.user)

    def index(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:  # type: ignore[override]
        """All tables, with the sizes of the largest."""
        try:
            tables = sizes.last()
        except redis.RedisError:
            tables = []
        return super().index(request, {**(extra_context or {}), "table_sizes": tables[:_TABLES_SHOWN]})

    def login(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:
        # The middleware has redirected anonymous visitors to the login page: this user is signed in, but no admin.
        if not self.has_permission(request):
            raise PermissionDenied(_("Only admins have access to this."))
        return redirect("admin:index")

    def logout(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:  # type: ignore[override]
        return redirect(settings.LOGIN_REDIRECT_URL)

    def password_change(self, request: HttpRequest, extra_context: dict[str, object] | None = None) -> HttpResponse:  # type: ignore[override]
        return redirect("accounts:password")

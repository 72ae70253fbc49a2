from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _


class Site(AdminSite):
    """Django's admin for those with `is_admin`; they sign in at the one door, not at a second login form."""

    site_header = site_title = "left4me"
    index_title = _("Everything, as rows")
    login_template = None

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and getattr(user, "is_admin", False))

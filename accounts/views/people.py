"""Pages of users and invitations, for admins."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import actions
from accounts.forms import InvitationForm, NewUserForm
from accounts.models import OneTimeLink, User
from accounts.permissions import administrator
from left4me.core.web import notices


@require_safe
def users(request: HttpRequest) -> HttpResponse:
    administrator(request)
    rows = User.objects.annotate(
        session_count=Count("sessions", filter=Q(sessions__expires_at__gt=timezone.now())),
        seen_at=Max("sessions__last_seen_at"),
    ).order_by("username")
    if asked := request.GET.get("q", "").replace("\0", "").strip():
        rows = rows.filter(username__icontains=asked)
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    return render(request, "accounts/users.html", {"page": page, "q": asked, "invites": _takes_invitations()})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def new_user(request: HttpRequest) -> HttpResponse:
    """Create an account. The response shows the link by which its user sets a password."""
    admin = administrator(request)
    form = NewUserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = actions.create_user(
            username=form.cleaned_data["username"],
            password=None,
            is_admin=form.cleaned_data["is_admin"],
            by=admin,
            request=request,
        )
        return _password_link(request, user, admin)
    return render(request, "accounts/new_user.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@never_cache
def make_password_link(request: HttpRequest, pk: int) -> HttpResponse:
    admin = administrator(request)
    return _password_link(request, get_object_or_404(User, pk=pk, is_active=True), admin)


def _password_link(request: HttpRequest, user: User, admin: User) -> HttpResponse:
    secret = actions.make_password_link(user=user, by=admin, request=request)
    link = request.build_absolute_uri(reverse("accounts:password_link", args=[secret]))
    days = actions.PASSWORD_LINK_LIFETIME.days
    return render(request, "accounts/password_link_made.html", {"person": user, "link": link, "days": days})


@require_POST
def set_admin(request: HttpRequest, pk: int) -> HttpResponse:
    admin = administrator(request)
    user = get_object_or_404(User, pk=pk)
    is_admin = request.POST.get("is_admin") == "yes"
    try:
        actions.set_admin(user=user, is_admin=is_admin, by=admin, request=request)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    else:
        message = _("%(name)s is now an admin.") if is_admin else _("%(name)s is no longer an admin.")
        messages.success(request, message % {"name": user.username})
    return redirect("accounts:users")


@require_POST
def set_active(request: HttpRequest, pk: int) -> HttpResponse:
    admin = administrator(request)
    user = get_object_or_404(User, pk=pk)
    is_active = request.POST.get("is_active") == "yes"
    try:
        actions.set_active(user=user, is_active=is_active, by=admin, request=request)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    else:
        message = _("%(name)s can sign in again.") if is_active else _("%(name)s is signed out and can't sign in.")
        messages.success(request, message % {"name": user.username})
    return redirect("accounts:users")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def invitations(request: HttpRequest) -> HttpResponse:
    """List invitations. Creating one shows this page with the new link, which is shown only once."""
    admin = administrator(request)
    form, link = InvitationForm(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        lifetime = form.lifetime()
        assert lifetime is not None  # noqa: S101 -- the form offers no "Never"
        secret = actions.invite(by=admin, note=form.cleaned_data["note"], lifetime=lifetime, request=request)
        link = request.build_absolute_uri(reverse("accounts:invitation", args=[secret]))
        form = InvitationForm()
    rows = OneTimeLink.objects.invitations().select_related("created_by", "user")[:200]
    context = {"rows": rows, "form": form, "link": link, "now": timezone.now(), "invites": _takes_invitations()}
    return render(request, "accounts/invitations.html", context, status=422 if form.errors else 200)


@require_POST
def revoke_invitation(request: HttpRequest, pk: int) -> HttpResponse:
    admin = administrator(request)
    link = get_object_or_404(OneTimeLink.objects.invitations(), pk=pk, used_at__isnull=True)
    actions.revoke_invitation(link=link, by=admin, request=request)
    messages.success(request, _("Invitation revoked."))
    return redirect("accounts:invitations")


def _takes_invitations() -> bool:
    return settings.LEFT4ME_SIGNUP != "closed"

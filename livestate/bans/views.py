"""Pages of bans: the list of all that one may see, one ban, and forms to ban, change and lift."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.ids import parse_id
from left4me.core.web.pages import Paginator
from left4me.core.web.refusals import Cure, Refused
from left4me.core.web.request import is_admin
from livestate.bans import actions, effective, permissions, state, targets
from livestate.bans.forms import BanChangeForm, BanForm
from livestate.bans.models import Ban, BanList, BanQuerySet
from livestate.models import SteamProfile
from servers import lookups
from servers.models import Server

BANS_PER_PAGE = 50


@dataclass(frozen=True)
class Filter:
    """What a list of bans shows; made from the query of its address."""

    q: str = ""
    state: str = Ban.State.ACTIVE
    server: int | None = None
    ban_list: int | None = None

    @classmethod
    def of(cls, query: Any) -> Filter:
        given = query.get("state", Ban.State.ACTIVE)
        return cls(
            q=query.get("q", "").strip()[:200],
            state=given if given in (*Ban.State.values, "all") else Ban.State.ACTIVE,
            server=parse_id(query.get("server", "")),
            ban_list=parse_id(query.get("list", "")),
        )

    @property
    def leaves_out(self) -> bool:
        """Whether it shows less than all active bans."""
        return bool(self.q or self.server or self.ban_list or self.state != Ban.State.ACTIVE)

    def rows(self, user: User, now: datetime) -> BanQuerySet:
        rows = Ban.objects.visible_to(user).for_pages()
        has_expired = Q(ended_at=None, expires_at__lte=now)
        was_lifted = Q(ended_at__isnull=False)
        if self.state == Ban.State.ACTIVE:
            rows = rows.active(now)
        elif self.state == Ban.State.EXPIRED:
            rows = rows.filter(has_expired | was_lifted & Q(expires_at__isnull=False, ended_at__gte=F("expires_at")))
        elif self.state == Ban.State.LIFTED:
            rows = rows.filter(was_lifted & (Q(expires_at=None) | Q(ended_at__lt=F("expires_at"))))
        if self.server is not None:
            server = Server.objects.visible_to(user).filter(pk=self.server).first()
            rows = rows.filter(ban_list__in=effective.lists_of([server])[server.pk].ids if server else [])
        if self.ban_list is not None:
            rows = rows.filter(ban_list=self.ban_list)
        elif not is_admin(user):
            # Others share lists with tens of thousands of bans that apply to none of the user's servers.
            rows = rows.filter(ban_list__in=BanList.objects.concerning(user))
        return rows.filter(_matching(self.q)) if self.q else rows


def _matching(text: str) -> Q:
    """Bans with the text in name, reason or target, in whatever form of the SteamID it was typed."""
    named = SteamProfile.objects.filter(persona_name__icontains=text).values_list("pk", flat=True)[:200]
    found = Q(name__icontains=text) | Q(reason__icontains=text) | Q(target__icontains=text)
    found |= Q(target__in=[str(pk) for pk in named])
    try:
        return found | Q(target=targets.parse(text))
    except targets.NotTarget:
        return found


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    chosen = Filter.of(request.GET)
    page = Paginator(chosen.rows(user, now), BANS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "chosen": chosen,
        "page": page,
        "rows": state.with_profiles(list(page), user=user),
        "states": [*Ban.State.choices, ("all", _("All"))],
        "servers": Server.objects.visible_to(user).order_by("name").values_list("pk", "name"),
        "lists": [(each.pk, each.title) for each in permissions.visible_lists(user)],
        "unconfirmed": state.unconfirmed(user),
    }
    return render(request, "bans/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The form of a new ban; `?server=` and `?target=` fill it in from the page of a server."""
    user = signed_in(request)
    given = parse_id(request.GET.get("server", "") or request.POST.get("server", ""))
    server = lookups.server_to_operate(user, given) if given is not None else None
    initial = {name: request.GET[name][:200] for name in ("target", "name") if name in request.GET}
    form = BanForm(request.POST or None, user=user, server=server, initial=initial)
    ban, status = lib_forms.submit(form, form.save)
    if ban is not None:
        undo = Cure(label=_("Undo"), url=reverse("bans:lift", args=[ban.pk]), operation="lift")
        notices.done(request, _("%(who)s is banned.") % {"who": ban.name or ban.target}, undo=undo)
        return redirect("livestate:players", server.pk) if server is not None else redirect(ban)
    context = {"form": form, "server": server, "back": _back(server)}
    return render(request, "bans/edit.html", context, status=status)


@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    ban = permissions.ban_or_404(user, pk)
    context = {
        **state.with_profiles([ban], user=user)[0],
        "progress": state.on_servers(ban, user=user) if ban.is_active else [],
        "others": Ban.objects.visible_to(user).for_pages().filter(target=ban.target).exclude(pk=pk)[:10],
    }
    partial = "#servers" if request.htmx and ban.is_active else ""  # type: ignore[attr-defined]
    return render(request, f"bans/detail.html{partial}", context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    ban = permissions.ban_to_change(user, pk)
    form = BanChangeForm(request.POST or None, ban=ban)
    saved, status = lib_forms.submit(form, lambda: actions.change(ban=ban, by=user, **form.cleaned_data))
    if saved is not None:
        messages.success(request, _("Ban saved."))
        return redirect(ban)
    context = {"form": form, "ban": ban, "back": ban.get_absolute_url()}
    return render(request, "bans/edit.html", context, status=status)


@require_POST
def lift(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    ban = permissions.ban_to_change(user, pk)
    try:
        actions.lift(ban=ban, by=user)
    except Refused as refusal:
        messages.warning(request, str(refusal))
    else:
        messages.success(request, _("The ban of %(who)s is lifted.") % {"who": ban.name or ban.target})
    server = parse_id(request.POST.get("server", ""))
    return redirect("livestate:players", server) if server is not None else redirect(ban)


def _back(server: Server | None) -> str:
    return reverse("livestate:players", args=[server.pk]) if server is not None else reverse("bans:list")

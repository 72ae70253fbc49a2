"""Pages of ban lists: those that apply to one's servers, those that others share, and import and export."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Case, Count, Exists, OuterRef, Prefetch, Q, QuerySet, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web.ids import parse_id
from left4me.core.web.pages import Paginator
from left4me.core.web.refusals import Refused
from left4me.core.web.request import page_before
from livestate.bans import actions, effective, formats, permissions
from livestate.bans.forms import ImportForm, ListForm
from livestate.bans.models import BanList, Subscription
from servers import lookups
from servers.models import Server

PREVIEWED = 50
LISTS_PER_PAGE = 50
SERVERS_PER_PAGE = 50
# To which one subscribes in the table; the page of a list names all.
MOST_SERVERS = 10
FILES = {
    "csv": ("text/csv; charset=utf-8", "bans.csv"),
    "users": ("text/plain; charset=utf-8", "banned_user.cfg"),
    "addresses": ("text/plain; charset=utf-8", "banned_ip.cfg"),
}


@require_safe
def lists(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    actions.default_list(user)
    is_own = Case(When(owner=user, then=0), default=1)
    page = Paginator(
        BanList.objects.visible_to(user).order_by(is_own, "-is_default", "name", "pk").values_list("pk", flat=True),
        LISTS_PER_PAGE,
    ).get_page(request.GET.get("page"))
    # Bans are counted of the lists that are shown. Grouping drops the order.
    found = counted(permissions.visible_lists(user), user).in_bulk(list(page))
    rows = [found[pk] for pk in page if pk in found]
    my_servers = list(Server.objects.filter(owner=user)[: MOST_SERVERS + 1])
    context = {
        "page": page,
        "own": [row for row in rows if row.owner_id == user.pk],
        "others": [row for row in rows if row.owner_id != user.pk],
        "form": ListForm(),
        "my_servers": my_servers[:MOST_SERVERS],
        "has_more_servers": len(my_servers) > MOST_SERVERS,
    }
    return render(request, "bans/lists.html", context)


@require_POST
def new_list(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = ListForm(request.POST)
    made, status = lib_forms.submit(form, lambda: actions.create_list(owner=user, by=user, **form.cleaned_data))
    if made is not None:
        messages.success(request, _("Ban list created."))
        return redirect(made)
    return render(request, "bans/list_new.html", {"form": form}, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def list_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One list with what it applies to; for its owner with its settings, which a POST saves."""
    user = signed_in(request)
    if request.method == "POST":
        permissions.list_to_edit(user, pk)
    permissions.list_or_404(user, pk)
    ban_list: Any = counted(permissions.visible_lists(user).filter(pk=pk), user).get()
    form = ListForm(request.POST or None, ban_list=ban_list)
    saved, status = lib_forms.submit(
        form, lambda: actions.change_list(ban_list=ban_list, by=user, **form.cleaned_data)
    )
    if saved is not None:
        messages.success(request, _("Ban list saved."))
        return redirect(saved)
    concerned = effective.servers_of([ban_list])
    servers = Server.objects.visible_to(user).filter(pk__in=concerned.values("pk")).order_by("name", "pk")
    context = {
        "ban_list": ban_list,
        "form": form,
        "may_edit": permissions.can_edit_list(user, ban_list),
        "may_ban": permissions.can_ban(user, ban_list),
        "servers": Paginator(servers, SERVERS_PER_PAGE).get_page(request.GET.get("page")),
        "subscriptions": ban_list.subscriptions.select_related("user", "server").order_by("user__username", "pk"),
        "my_servers": Server.objects.filter(owner=user)
        .exclude(ban_subscriptions__ban_list=ban_list)
        .exclude(ban_list=ban_list),
        "singly": [each.server_id for each in ban_list.singly],
    }
    return render(request, "bans/list_detail.html", context, status=status)


@require_POST
def delete_list(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    ban_list = permissions.list_to_edit(user, pk)
    try:
        actions.delete_list(ban_list=ban_list, by=user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(ban_list)
    messages.success(request, _("Ban list deleted."))
    return redirect("bans:lists")


@require_POST
def subscription(request: HttpRequest, pk: int) -> HttpResponse:
    """Subscribe to a list with `on=yes`, or unsubscribe; all servers of the user, or the one with the id `server`."""
    user = signed_in(request)
    ban_list = permissions.list_or_404(user, pk)
    given = parse_id(request.POST.get("server", ""))
    server = lookups.server_to_edit(user, given) if given is not None else None
    try:
        if request.POST.get("on") == "yes":
            actions.subscribe(ban_list=ban_list, by=user, server=server)
            texts = _("The list applies to your servers."), _("The list applies to %s.")
        else:
            actions.unsubscribe(ban_list=ban_list, by=user, server=server)
            texts = _("The list no longer applies to your servers."), _("The list no longer applies to %s.")
        messages.success(request, texts[0] if server is None else texts[1] % server)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect(page_before(request) or "bans:lists")


@require_safe
def export(request: HttpRequest, pk: int) -> HttpResponse:
    """The active bans of a list as a file; `?as=` chooses the form."""
    return file_of(permissions.list_or_404(signed_in(request), pk), request.GET.get("as", "csv"))


def file_of(ban_list: BanList, kind: str) -> HttpResponse:
    content_type, name = FILES.get(kind, FILES["csv"])
    bans = ban_list.bans.active(timezone.now()).order_by("created_at", "pk")
    text = formats.write_csv(bans) if name.endswith(".csv") else formats.write_cfg(bans, name=name)
    return HttpResponse(
        text, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@require_http_methods(["GET", "HEAD", "POST"])
def import_(request: HttpRequest) -> HttpResponse:
    """Read a file, show what it would add, and add it when that is confirmed."""
    user = signed_in(request)
    given = parse_id(request.GET.get("server", ""))
    server = lookups.server_to_operate(user, given) if given is not None else None
    initial = {"place": f"list:{chosen}"} if (chosen := parse_id(request.GET.get("list", ""))) else {}
    form = ImportForm(request.POST or None, request.FILES or None, user=user, server=server, initial=initial)
    if not form.is_valid():
        return render(request, "bans/import.html", {"form": form}, status=422 if form.errors else 200)
    reading, place = form.cleaned_data["reading"], form.cleaned_data["place"]
    if "confirmed" in request.POST:
        ban_list = form.place_field.chosen(place, by=user)
        count, status = lib_forms.submit(
            form, lambda: actions.import_entries(ban_list=ban_list, entries=reading.entries, by=user)
        )
        if count is not None:
            messages.success(request, ngettext("%(n)d ban added.", "%(n)d bans added.", count) % {"n": count})
            return redirect(ban_list)
        return render(request, "bans/import.html", {"form": form}, status=status)
    new = actions.new_entries(form.place_field.existing(place), reading.entries, now=timezone.now())
    context = {
        "form": form,
        "reading": reading,
        "new": new[:PREVIEWED],
        "count": len(new),
        "more": len(new) - PREVIEWED,
        "known": len({entry.target for entry in reading.entries}) - len(new),
        "place": place,
        # As lines that are read again when it is confirmed, whatever the file was.
        "content": formats.write_entries(new),
    }
    return render(request, "bans/preview.html", context)


def counted(rows: QuerySet[BanList], user: User) -> QuerySet[BanList]:
    """The lists with the number of their active bans and subscribers, and how the user has subscribed to them."""
    now = timezone.now()
    singly = Subscription.objects.filter(user=user).exclude(server=None).order_by("server")
    active = Q(bans__ended_at=None) & (Q(bans__expires_at=None) | Q(bans__expires_at__gt=now))
    return rows.annotate(
        active_bans=Count("bans", filter=active, distinct=True),
        subscriber_count=Count("subscriptions__user", distinct=True),
        is_subscribed=Exists(Subscription.objects.filter(ban_list=OuterRef("pk"), user=user, server=None)),
    ).prefetch_related(Prefetch("subscriptions", singly, to_attr="singly"))

"""Pages of players: the search, one player with notes, and forgetting one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import User
from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices, undo
from left4me.core.web.pages import Paginator
from left4me.core.web.request import is_admin
from livestate.demos import lookups as demos
from livestate.players import erasure, notes, permissions, records, search
from livestate.players.forms import ForgetForm, NoteChangeForm, NoteForm
from livestate.players.records import Player
from servers.models import Server

PLAYERS_PER_PAGE = 50
VISITS_PER_PAGE = 50


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    user, now = signed_in(request), timezone.now()
    chosen = search.Filter.of(request.GET)
    page = Paginator(chosen.accounts(user, now=now), PLAYERS_PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "chosen": chosen,
        "page": page,
        "players": search.rows(user, list(page), now=now),
        "shown": search.SHOWN,
        "servers": Server.objects.visible_to(user).order_by("name").values_list("pk", "name"),
        "days": settings.LEFT4ME_HISTORY_DAYS,
    }
    return render(request, "players/list.html", context)


@require_safe
def detail(request: HttpRequest, steam_id_64: int) -> HttpResponse:
    """A player's visits to the servers that the user can see, with notes and bans; 404 for an unknown account."""
    user = signed_in(request)
    player = permissions.player_or_404(user, steam_id_64)
    return render(request, "players/detail.html", _context(request, player, NoteForm(user=user, player=player)))


@require_POST
def add_note(request: HttpRequest, steam_id_64: int) -> HttpResponse:
    user = signed_in(request)
    player = permissions.player_or_404(user, steam_id_64)
    permissions.check_can_write_notes(user)
    form = NoteForm(request.POST, user=user, player=player)
    note, status = lib_forms.submit(form, form.save)
    if note is None:
        return render(request, "players/detail.html", _context(request, player, form), status=status)
    notices.done(request, _("Note added."))
    return redirect("livestate:player", steam_id_64)


@require_http_methods(["GET", "HEAD", "POST"])
def note(request: HttpRequest, pk: int) -> HttpResponse:
    """The form of one note."""
    user = signed_in(request)
    row = permissions.note_to_change(user, pk)
    before = row.text
    form = NoteChangeForm(request.POST or None, initial={"text": before})
    saved, status = lib_forms.submit(form, lambda: notes.change(note=row, by=user, **form.cleaned_data))
    if saved is not None:
        notices.done(request, _("Note saved."), undo=undo.offer("note.text", by=user, pk=pk, text=before))
        return redirect("livestate:player", row.steam_id_64)
    context = {"form": form, "player": records.of(user, row.steam_id_64)}
    return render(request, "players/note.html", context, status=status)


@require_POST
def delete_note(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    row = permissions.note_to_change(user, pk)
    kept = notes.delete(note=row, by=user)
    notices.done(request, _("Note deleted."), undo=undo.offer("note", by=user, **kept))
    return redirect("livestate:player", row.steam_id_64)


@undo.register("note.text")
def write_before(user: User, pk: int, text: str) -> str:
    """Give a note the text that it had before it was edited."""
    row = notes.change(note=permissions.note_to_change(user, pk), text=text, by=user)
    return reverse("livestate:player", args=[row.steam_id_64])


@undo.register("note")
def write_again(user: User, **kept: Any) -> str:
    """Write a deleted note again."""
    return reverse("livestate:player", args=[notes.restore(by=user, **kept).steam_id_64])


@require_http_methods(["GET", "HEAD", "POST"])
def forget(request: HttpRequest, steam_id_64: int) -> HttpResponse:
    """Show what is stored about a player and what would stay, and remove it once that is confirmed."""
    user = signed_in(request)
    player = permissions.player_to_forget(user, steam_id_64)
    form = ForgetForm(request.POST if request.method == "POST" else None)
    removed, status = lib_forms.submit(
        form, lambda: erasure.forget(steam_id_64, by=user, request=request, **form.cleaned_data)
    )
    if removed is not None:
        count = removed.visits
        text = ngettext("Player forgotten: %(n)d visit removed.", "Player forgotten: %(n)d visits removed.", count)
        notices.done(request, text % {"n": count})
        return redirect("livestate:player_list")
    context = {"form": form, "player": player, "holdings": erasure.holdings(steam_id_64)}
    return render(request, "players/forget.html", context, status=status)


def _context(request: HttpRequest, player: Player, form: NoteForm) -> dict[str, object]:
    user, now = signed_in(request), timezone.now()
    companions = records.companions(player.visits, now=now)
    page = Paginator(player.visits, VISITS_PER_PAGE).get_page(request.GET.get("page"))
    recorded = demos.of_visits(page.object_list)
    return {
        "player": player,
        "page": page,
        "visits": [(visit, recorded.get(visit.pk, [])) for visit in page],
        "demos_title": _("Demos") if recorded else "",
        "totals": records.totals(player.seen, now=now).get(player.steam_id_64),
        "notes": [(row, permissions.can_change_note(user, row)) for row in player.notes],
        "form": form,
        "names": records.names(player.visits),
        "companions": companions,
        "is_banned": records.banned(user, now=now).filter(target=str(player.steam_id_64)).exists(),
        "noted": records.noted(user, [each.player.session.steam_id_64 for each in companions]),
        "may_forget": is_admin(user),
        "days": settings.LEFT4ME_HISTORY_DAYS,
    }

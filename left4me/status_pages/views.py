"""The pages on which users manage their status pages, and the message that an alert channel keeps in Discord."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.permissions import signed_in
from left4me.alerts import permissions as alert_permissions
from left4me.core.web import forms as lib_forms
from left4me.core.web.refusals import Refused
from left4me.status_pages import actions, permissions
from left4me.status_pages.forms import MessageForm, StatusPageForm
from left4me.status_pages.models import StatusMessage, StatusPage
from servers.models import Server


@require_safe
def list_(request: HttpRequest) -> HttpResponse:
    pages = StatusPage.objects.of(signed_in(request)).select_related("owner").prefetch_related("servers")
    return render(request, "status_pages/list.html", {"pages": pages})


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    user = signed_in(request)
    form = StatusPageForm(request.POST or None, owner=user)
    page, status = lib_forms.submit(form, lambda: actions.create(owner=user, by=user, **form.given()))
    if page is not None:
        messages.success(request, _("Status page created. Turn it on to let others open it."))
        return redirect(page)
    context = {"form": form, "has_servers": Server.objects.filter(owner=user).exists()}
    return render(request, "status_pages/edit.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One page: its address, how to embed it, and its form."""
    user = signed_in(request)
    page = permissions.managed(user, pk)
    form = StatusPageForm(request.POST or None, owner=page.owner, page=page)
    saved, status = lib_forms.submit(form, lambda: actions.change(page=page, by=user, **form.given()))
    if saved is not None:
        messages.success(request, _("Status page saved."))
        return redirect(saved)
    page.refresh_from_db()
    address = request.build_absolute_uri(page.public_path)
    context = {
        "form": form,
        "page": page,
        "address": address,
        "embed_code": f'<iframe src="{address}?embed=1" title="{page.title}" width="360" height="640"></iframe>',
        "messages_in_discord": page.messages.select_related("channel"),
    }
    return render(request, "status_pages/edit.html", context, status=status)


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    page = permissions.managed(user, pk)
    is_on = request.POST.get("on") == "yes"
    actions.change(page=page, by=user, is_enabled=is_on)
    messages.success(request, _("Status page turned on.") if is_on else _("Status page turned off."))
    return redirect(page)


@require_POST
def reset(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    page = actions.reset_address(page=permissions.managed(user, pk), by=user)
    messages.success(request, _("Address reset. The old one no longer works."))
    return redirect(page)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    page = permissions.managed(user, pk)
    try:
        actions.delete(page=page, by=user)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect(page)
    messages.success(request, _("Status page deleted."))
    return redirect("status_pages:list")


@require_http_methods(["GET", "HEAD", "POST"])
def message(request: HttpRequest, pk: int) -> HttpResponse:
    """The message that an alert channel keeps up to date in Discord."""
    user = signed_in(request)
    channel = alert_permissions.managed(user, pk)
    row = StatusMessage.objects.select_related("page").filter(channel=channel).first()
    if request.method == "POST" and "end" in request.POST:
        actions.end_message(channel=channel, by=user)
        messages.success(request, _("The status message is removed from Discord within seconds."))
        return redirect("status_pages:message", channel.pk)
    form = MessageForm(request.POST or None, owner_id=channel.user_id, message=row)
    saved, status = lib_forms.submit(form, lambda: actions.keep_message(channel=channel, by=user, **form.cleaned_data))
    if saved is not None:
        messages.success(request, _("The status message appears in Discord within seconds."))
        return redirect("status_pages:message", channel.pk)
    context: dict[str, Any] = {
        "channel": channel,
        "message": row,
        "form": form,
        "has_pages": StatusPage.objects.filter(owner_id=channel.user_id).exists(),
    }
    return render(request, "status_pages/message.html", context, status=status)

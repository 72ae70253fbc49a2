"""Pages of the user's alert channels."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from left4me.alerts import actions, permissions
from left4me.alerts.forms import ChannelForm
from left4me.alerts.models import Channel
from left4me.core.web import forms as lib_forms
from left4me.core.web import notices
from left4me.core.web.request import current_user, is_fragment

RECENT = 15


@sensitive_post_parameters("address")
@require_http_methods(["GET", "HEAD", "POST"])
def channels(request: HttpRequest) -> HttpResponse:
    user = current_user(request)
    form = ChannelForm(request.POST or None, by_admin=user.is_admin)
    channel, status = lib_forms.submit(form, lambda: actions.create(user=user, request=request, **form.given()))
    if channel is not None:
        if not channel.is_confirmed:
            messages.success(request, _("We sent you an e-mail with a code. Enter the code here."))
            return redirect("alerts:channel", channel.pk)
        messages.success(
            request, _("Alert channel “%(name)s” added. Send a test to check it.") % {"name": channel.name}
        )
        return redirect("alerts:channels")
    context = {"channels": Channel.objects.filter(user_id=user.pk), "form": form}
    template = "alerts/channels.html#rows" if is_fragment(request) and not form.errors else "alerts/channels.html"
    return render(request, template, context, status=status)


@sensitive_post_parameters("address")
@require_http_methods(["GET", "HEAD", "POST"])
def channel(request: HttpRequest, pk: int) -> HttpResponse:
    """One channel: its recent deliveries and its form."""
    user = current_user(request)
    row = permissions.managed(user, pk)
    owner: Any = row.user
    form = ChannelForm(request.POST or None, by_admin=owner.is_admin, channel=row)
    saved, status = lib_forms.submit(
        form, lambda: actions.change(channel=row, by=user, request=request, **form.given())
    )
    if saved is not None:
        messages.success(request, _("Alert channel “%(name)s” saved.") % {"name": saved.name})
        return redirect("alerts:channels")
    context = {"channel": row, "form": form, "deliveries": row.deliveries.all()[:RECENT]}
    return render(request, "alerts/channel.html", context, status=status)


@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    row = permissions.managed(current_user(request), pk)
    try:
        actions.test(channel=row, by=current_user(request), now=timezone.now(), request=request)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
    else:
        messages.success(request, _("Sending a test. The list shows the result within a few seconds."))
    return redirect("alerts:channels")


@require_POST
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    row = permissions.managed(current_user(request), pk)
    try:
        actions.confirm(channel=row, code=request.POST.get("code", ""), by=current_user(request), request=request)
    except actions.Refused as refusal:
        notices.refuse(request, refusal)
        return redirect("alerts:channel", row.pk)
    messages.success(request, _("Alert channel “%(name)s” confirmed.") % {"name": row.name})
    return redirect("alerts:channels")


@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    row = permissions.managed(current_user(request), pk)
    on = request.POST.get("on") == "yes" or request.POST.get("operation") == "on"
    actions.switch(channel=row, on=on, by=current_user(request), now=timezone.now(), request=request)
    words = _("Alert channel “%(name)s” turned on.") if on else _("Alert channel “%(name)s” turned off.")
    messages.success(request, words % {"name": row.name})
    return redirect("alerts:channels")


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    row = permissions.managed(current_user(request), pk)
    actions.delete(channel=row, by=current_user(request), request=request)
    messages.success(request, _("Alert channel “%(name)s” deleted.") % {"name": row.name})
    return redirect("alerts:channels")

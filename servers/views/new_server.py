"""The page that creates a server with everything it needs, and starts it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.permissions import signed_in
from left4me.core.web import forms as lib_forms
from left4me.core.web.ids import parse_id
from servers import actions
from servers.forms import NewServerForm

_FIELDS = ("name", "base", "start_map", "items", "config", "host", "port", "restart_when_hung", "tag_list")


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """`?blueprint=5` and `?template=2` choose what the server starts from, `?items=…` fills in workshop items."""
    user = signed_in(request)
    form = NewServerForm(posted(request), owner=user, initial=_initial(request))
    created, status = lib_forms.submit(
        form,
        lambda: actions.quick_start(
            user=user,
            start="create_only" not in request.POST,
            **{name: form.cleaned_data[name] for name in _FIELDS},
        ),
    )
    if created is None:
        return render(request, "servers/new.html", {"form": form}, status=status)
    if created.refused:
        left_out = [f"{steam_id} ({reason})" for steam_id, reason in created.refused.items()]
        messages.warning(request, _("These items can't be added: %s.") % ", ".join(left_out[:20]))
    done = _("Server created.") if "create_only" in request.POST else _("Server created. It is starting.")
    messages.success(request, done)
    return redirect(created.server)


def posted(request: HttpRequest) -> QueryDict | None:
    """The submitted form of a server; the button that takes the offered port puts it into the field."""
    if not request.POST:
        return None
    data = request.POST.copy()
    if "use_port" in data:
        data["port"] = str(data["use_port"])
    return data


def _initial(request: HttpRequest) -> dict[str, str]:
    initial = {"items": request.GET["items"]} if "items" in request.GET else {}
    for kind in ("blueprint", "template"):
        if pk := parse_id(request.GET.get(kind, "")):
            initial["base"] = f"{kind}-{pk}"
    return initial

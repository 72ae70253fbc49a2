"""The page of a script overlay: admins edit the script, and a build runs it in a sandbox."""

from __future__ import annotations

from pathlib import Path

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.permissions import signed_in
from left4me.audit import record
from left4me.core.web import notices
from left4me.jobs import actions as jobs
from overlays import builds, lookups, permissions
from overlays.builders import script as builder
from overlays.models import Overlay, OverlayScript

_EXAMPLES = Path(builder.__file__).parent / "examples"
_LONGEST = 100_000


@require_http_methods(["GET", "HEAD", "POST"])
def script(request: HttpRequest, pk: int) -> HttpResponse:
    """Show or save the script. Every user who can see the overlay may read it; only admins may change it."""
    user = signed_in(request)
    overlay = lookups.overlay_or_404(user, pk)
    if overlay.kind != Overlay.Kind.SCRIPT:
        raise Http404(_("This overlay is not a script overlay."))
    kept = getattr(overlay, "script", None)
    text, error = kept.text if kept else "", ""
    if request.method == "POST":
        permissions.check_can_make_system_overlay(user)
        text = request.POST.get("text", "").replace("\r\n", "\n")
        error = (
            _("The script is too long. Shorten it, or download parts of it in the script.")
            if len(text) > _LONGEST or "\0" in text
            else ""
        )
        if not error:
            OverlayScript.objects.update_or_create(overlay=overlay, defaults={"text": text})
            record.write(action="overlay.script_changed", by=user, target=overlay.resource, request=request)
            return _saved(request, overlay)
    elif request.GET.get("example") in examples():
        text = (_EXAMPLES / f"{request.GET['example']}.sh").read_text()
    context = {
        "overlay": overlay,
        "text": text,
        "error": error,
        "examples": examples(),
        "may_edit": permissions.can_make_system_overlay(user),
        "minutes": builder.SECONDS // 60,
        "largest": builder.LARGEST_TREE,
    }
    return render(request, "overlays/script.html", context, status=422 if error else 200)


def examples() -> list[str]:
    return sorted(path.stem for path in _EXAMPLES.glob("*.sh"))


def _saved(request: HttpRequest, overlay: Overlay) -> HttpResponse:
    if "build" not in request.POST:
        messages.success(request, _("Script saved."))
        return redirect("overlays:script", overlay.pk)
    try:
        job = builds.request(overlay=overlay, by=signed_in(request))
    except jobs.Refused as fault:
        notices.refuse(request, fault)
        return redirect("overlays:script", overlay.pk)
    messages.success(request, _("Script saved. Job %(id)d runs it.") % {"id": job.pk})
    return redirect(job)

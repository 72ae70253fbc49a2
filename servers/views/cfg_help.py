"""Help while cfg lines are typed: findings about the text, and names to complete."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import signed_in
from left4me.core.web.ids import parse_ids
from overlays.models import Overlay
from servers.blueprints import checks, inspection
from servers.blueprints.checks import known

# Longer texts are checked when they are saved only: this runs after every pause in typing.
LONGEST = 50_000


@require_POST
def findings(request: HttpRequest) -> HttpResponse:
    """The findings about `arguments` and `config` with the stack `overlays`, or about `text`, a file of an overlay."""
    user = signed_in(request)
    arguments, config = request.POST.get("arguments", ""), request.POST.get("config", request.POST.get("text", ""))
    if len(arguments) + len(config) > LONGEST or not request.POST.get("path", ".cfg").lower().endswith(".cfg"):
        return render(request, "servers/_findings.html", {})
    by_pk = Overlay.objects.usable_by(user).in_bulk(parse_ids(request.POST.getlist("overlays")))
    found = inspection.findings_of(arguments=arguments, config=config, layers=list(by_pk.values()))
    # A form that is sent shows refused lines at its fields.
    refused = [finding for finding in found if finding.severity == checks.Severity.REFUSED]
    return render(request, "servers/_findings.html", {"refused": refused, **by_severity(found)})


@require_safe
def names(request: HttpRequest) -> JsonResponse:
    """Settings and commands that contain `?q=`, with their help."""
    signed_in(request)
    typed = request.GET.get("q", "")[:60].strip()
    found = known.complete(typed) if len(typed) > 1 else []
    return JsonResponse({"names": [asdict(each) for each in found]})


def by_severity(found: list[checks.Finding]) -> dict[str, list[checks.Finding]]:
    return {
        "warned": [finding for finding in found if finding.severity == checks.Severity.WARNED],
        "noted": [finding for finding in found if finding.severity == checks.Severity.NOTED],
    }

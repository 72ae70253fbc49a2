"""Template tags and filters for page components. They are builtins: templates need no `{% load %}`."""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django import template
from django.contrib.messages.storage.base import Message
from django.core.paginator import Page
from django.forms import BoundField, CheckboxInput
from django.http import HttpRequest
from django.template.context import Context
from django.template.defaultfilters import floatformat
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext

from accounts import filters
from accounts.models import SavedFilter
from accounts.models.filters import query_of
from accounts.permissions import signed_in
from left4me.core import moments
from left4me.core.web import fragments, notices, refusals
from left4me.core.web.refusals import Cure
from left4me.site import navigation

register = template.Library()

# More than a page takes from its first query on, and than clocks of two machines differ.
_PAGE_TAKES_SECONDS = 2

TONES = {
    "server": {
        "running": "ok",
        "starting": "busy",
        "stopping": "busy",
        "initializing": "busy",
        "deleting": "busy",
        "restarting": "busy",
        "moving": "busy",
        "crashed": "bad",
        "gave_up": "bad",
    },
    "job": {
        "queued": "note",
        "running": "busy",
        "cancelling": "warn",
        "succeeded": "ok",
        "failed": "bad",
    },
}
MESSAGE_TONES = {"success": "ok", "warning": "warn", "error": "bad"}


@register.simple_tag
def icon(name: str, label: str = "", extra: str = "") -> SafeString:
    """An icon of the sprite. Without `label` it is hidden from screen readers."""
    return _icon(name, str(label), extra)


# Pages have some fifty, of which most are the same: 10 % of the time of a page was theirs.
@lru_cache(maxsize=1000)
def _icon(name: str, label: str, extra: str) -> SafeString:
    role = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html(
        '<svg class="icon{}" {}><use href="{}#{}"></use></svg>',
        f" {extra}" if extra else "",
        role,
        static("left4me/icons.svg"),
        name,
    )


@register.simple_tag
def badge(state: str, label: str = "", kind: str = "server", tone: str = "") -> SafeString:
    """A state as a coloured dot and text. `tone` (ok busy warn bad idle note) overrides that of the `kind`."""
    return format_html(
        '<span class="badge" data-tone="{}" data-state="{}"><span class="badge-dot"></span>{}</span>',
        tone or TONES.get(kind, {}).get(state, "idle"),
        state,
        label or str(state).replace("_", " "),
    )


@register.simple_tag
def avatar(name: str, url: str = "", size: str = "") -> SafeString:
    """A picture of a user or a thing, or the first letter of its name, also where the picture cannot be loaded.

    Hidden from screen readers: the name is shown beside it.
    """
    if url:
        return format_html(
            '<img class="avatar {}" src="{}" data-letter="{}" alt="" loading="lazy" referrerpolicy="no-referrer">',
            size,
            url,
            str(name)[:1],
        )
    return format_html('<span class="avatar {}" aria-hidden="true">{}</span>', size, str(name)[:1])


@register.simple_tag
def field(bound: BoundField, *, mono: bool = False, is_editor: bool = False, **attrs: Any) -> SafeString:
    """A form field with its label, help text and errors. Further arguments become attributes of the control.

    `mono` sets a monospaced font, `is_editor` numbers the lines of a text area: its page includes editor.js and
    editor.css. An underscore in a name becomes a hyphen: `hx_get=…`.
    """
    control = {name.replace("_", "-"): value for name, value in attrs.items()}
    if mono:
        control["class"] = f"{bound.field.widget.attrs.get('class', '')} mono".strip()
        control.setdefault("spellcheck", "false")
    is_check = isinstance(bound.field.widget, CheckboxInput)
    conditional = getattr(bound.form, "conditional", ())
    context = {
        "field": bound,
        "control": bound.as_widget(attrs=control),
        "is_check": is_check,
        "is_editor": is_editor,
        "is_set": bound.use_fieldset,
        # A form names in `conditional` the fields that another one makes necessary, or not.
        "is_optional": not bound.field.required and not is_check and bound.name not in conditional,
    }
    return render_to_string("ui/field.html", context)


@register.inclusion_tag("ui/pagination.html", takes_context=True)
def pagination(context: Context, page: Page[Any], label: str = "") -> dict[str, object]:
    """Links to the pages of a list that keep the other query parameters. `label` distinguishes two lists on a page."""
    return {
        "label": label,
        "request": context["request"],
        "page": page,
        "numbers": page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1),
        "gap": page.paginator.ELLIPSIS,
    }


@register.simple_block_tag
def table(
    content: str, caption: str, *columns: str, numeric: str = "", has_actions: bool = True, is_compact: bool = False
) -> SafeString:
    """The frame of a list: `{% table _("Your tokens") _("Name") _("Scope") %}<tr>…</tr>{% endtable %}`.

    The caption is for screen readers. `numeric="2 3"` right-aligns the second and third column; a column with an empty
    title is left out. `has_actions` adds the last column, without a visible title, that holds the buttons of each row.
    `is_compact` shows a row on a phone in two lines, by the classes of its cells: pick, state, more, and actions or
    extra.
    """
    heads = [(title, str(number) in numeric.split()) for number, title in enumerate(columns, 1) if title]
    context = {
        "content": content,
        "caption": caption,
        "heads": heads,
        "has_actions": has_actions,
        "is_compact": is_compact,
    }
    return render_to_string("ui/table.html", context)


@register.inclusion_tag("ui/crumbs.html")
def crumbs(*steps: Any, label: str = "") -> dict[str, object]:
    """The way to a page: `{% crumbs "servers:list" _("Servers") server server.name _("Delete") %}`.

    Pairs of a target and a name, then the name of the page. A target is the name of an address, an address, or a row
    with a page. `label` distinguishes two on one page.
    """
    *before, current = steps
    pairs = zip(before[::2], before[1::2], strict=True)
    return {"steps": [(_address(target), name) for target, name in pairs], "current": current, "label": label}


def _address(target: Any) -> str:
    if not isinstance(target, str):
        return str(target.get_absolute_url())
    return target if target.startswith(("/", "#")) else reverse(target)


@register.simple_tag(takes_context=True)
def frame(context: Context, part: str) -> SafeString:
    """A part of the frame of pages, which is rendered once for all visitors who see the same of it.

    Its template sees only `frame` (`left4me/site/navigation.py:Frame`) and the language.
    """
    request: HttpRequest | None = context.get("request")
    if request is None:
        # Error pages know nothing of the request, since it may be the cause of the error.
        return render_to_string(part, {"frame": navigation.Frame()})
    shown = navigation.frame_of(request, theme=context["theme"], game_is_simulated=context["game_is_simulated"])
    return fragments.render(request, part, "frame", shown)


@register.simple_tag(takes_context=True)
def part(context: Context, template: str, **shown: Hashable) -> SafeString:
    """A part of a page that is rendered once for all who see the same: `{% part "a/_menu.html" name=server.name %}`.

    Its template sees only these values, such as `part.name`, and the language. It must not read the clock.
    """
    return fragments.render(context["request"], template, "part", fragments.Values(tuple(shown.items())))


@register.simple_tag
def url_or_none(name: str, *args: Any) -> str | None:
    """The URL of a view, or None if that part of the application is not installed."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return None


@register.simple_tag
def live_position() -> str:
    """The position in the stream of signals from which a page follows it; see `left4me/core/redis/signals.py`.

    Positions are times of Redis in milliseconds. What changed while the page was made is signalled once more.
    """
    return f"{int(1000 * (time.time() - _PAGE_TAKES_SECONDS))}-0"


@register.inclusion_tag("ui/cure.html")
def cure(cure: Cure | None, of: str = "") -> dict[str, object]:
    """The button of what mends something or takes it back; nothing without. `of` names the thing to screen readers."""
    return {"cure": cure, "of": of}


@register.simple_tag
def confirm(question: str, note: str, button: str) -> SafeString:
    """The attributes of a button or a form that asks first: `<button {% confirm _("Stop?") _("…") _("Stop") %}>`."""
    return format_html('data-confirm="{}" data-confirm-note="{}" data-confirm-button="{}"', question, note, button)


@register.filter
def error_cure(error: Exception) -> Cure | None:
    """The cure of an error of a form, or of a refusal."""
    return refusals.cure_of(error)


@register.filter
def message_cure(message: Message) -> Cure | None:
    return notices.cure_of(message)


@register.inclusion_tag("ui/search_field.html")
def search_field(text: str, placeholder: str = "") -> dict[str, object]:
    """The search field of a list's filters. `placeholder` says what is searched."""
    return {"text": text, "placeholder": placeholder}


@register.inclusion_tag("ui/choice.html")
def choice(name: str, label: str, options: Iterable[Any], chosen: object, every: str = "") -> dict[str, object]:
    """One choice among a list's filters. `options` are pairs of a value and its text, or texts that are the values.

    With `every`, such as `_("Any")`, the first option leaves nothing out.
    """
    pairs = [(option, option) if isinstance(option, str) else option for option in options]
    # Not by the template: there may be a thousand servers, and a loop in a template takes ten times as long.
    rows = [
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in pairs
    ]
    # All that is not of this file is escaped above.
    shown = mark_safe("\n".join(rows))  # noqa: S308
    return {"name": name, "label": label, "options": shown, "every": every}


@register.inclusion_tag("ui/saved_filters.html", takes_context=True)
def saved_filters(
    context: Context, place: str, saved: Sequence[SavedFilter] | None = None, *, has_default: bool = False
) -> dict[str, object]:
    """The saved filters of a list, below its form; with `has_default`, the list opens with one of them.

    They are read here unless the view did.
    """
    request: HttpRequest = context["request"]
    query = query_of(place, request.GET.urlencode())
    saved = filters.of(signed_in(request), place) if saved is None else saved
    current = next((each for each in saved if each.query == query), None)
    shown = {"place": place, "query": query, "filters": saved, "current": current, "has_default": has_default}
    return {**shown, "csrf_token": context.get("csrf_token")}


@register.filter
def message_tone(level_tag: str) -> str:
    return MESSAGE_TONES.get(level_tag, "busy")


@register.filter
def prose(text: object) -> SafeString:
    """A message as HTML: line breaks are kept, and what stands between backticks is code."""
    shown = re.sub(r"`([^`\n]+)`", r"<code>\1</code>", escape(text))
    return mark_safe(shown.replace("\n", "<br>"))  # noqa: S308 -- escaped above


@register.filter
def relative(moment: datetime | None) -> SafeString | str:
    """A relative time such as "5 min. ago", kept up to date by JavaScript; the moment is in its title."""
    return _time(moment, moments.relative(moment, now=timezone.now()), "data-relative") if moment else "–"


@register.filter
def absolute(moment: datetime | None) -> SafeString | str:
    """A moment such as "21 Nov 2026, 20:00", in the viewer's time zone."""
    return _time(moment, moments.minute(moment), "data-absolute") if moment else "–"


@register.filter
def day(moment: datetime | None) -> SafeString | str:
    """The date of a moment, in the viewer's time zone."""
    return _time(moment, moments.day(moment)) if moment else "–"


@register.filter
def since(moment: datetime | None) -> SafeString | str:
    """The time elapsed since `moment`, updated by JavaScript."""
    return _time(moment, elapsed(timezone.now() - moment), "data-since") if moment else "–"


def _time(moment: datetime, text: str, attribute: str = "") -> SafeString:
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>',
        moment.isoformat(),
        moments.second(moment),
        SafeString(f" {attribute}" if attribute else ""),
        text,
    )


@register.filter
def until(moment: datetime | None) -> SafeString | str:
    """The time that is left until `moment`, updated by JavaScript."""
    if moment is None:
        return "–"
    left, over = moment - timezone.now(), gettext("a moment")
    return format_html(
        '<time datetime="{}" data-until data-over="{}">{}</time>',
        moment.isoformat(),
        over,
        elapsed(left) if left > timedelta() else over,
    )


@register.filter
def elapsed(duration: timedelta | float | None) -> str:
    """The duration in its two largest units."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if seconds < 10:
        return gettext("%(seconds)s s") % {"seconds": number_format(max(seconds, 0), 1)}
    minutes, left = divmod(int(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return ngettext("%(days)d day %(hours)d h", "%(days)d days %(hours)d h", days) % {
            "days": days,
            "hours": hours_left,
        }
    if hours:
        return gettext("%(hours)d h %(minutes)d min") % {"hours": hours, "minutes": minutes_left}
    if minutes:
        return gettext("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": left}
    return gettext("%(seconds)d s") % {"seconds": left}


@register.filter("bytes")
def in_bytes(size: float | None) -> str:
    """A size in decimal units (kB, MB, GB)."""
    if size is None:
        return "–"
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 1000:
            places = 0 if unit == "B" or amount >= 100 else 1
            return f"{number_format(round(amount, places), places)} {unit}"
        amount /= 1000
    return f"{number_format(round(amount, 1), 1)} TB"


@register.filter
def quantity(value: float | None, unit: str) -> str:
    """A measured value with its unit: percent, bytes, bytes_per_second, or seconds as ms; of others the number."""
    if value is None:
        return "–"
    if unit == "bytes":
        return in_bytes(value)
    if unit == "bytes_per_second":
        return f"{in_bytes(value)}/s"
    number = floatformat(round(value * 1000 if unit == "seconds" else value, 1))
    return number + {"percent": "%", "seconds": " ms"}.get(unit, "")

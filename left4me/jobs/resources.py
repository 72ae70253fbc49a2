"""The kinds of resources that jobs are about: who may see and operate jobs on one, its label and its owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from left4me.core.web.refusals import Cure
    from left4me.core.web.request import Person


@dataclass(frozen=True)
class Label:
    """The name of a resource and the URL of its page."""

    name: str
    url: str


Access = Callable[[Any, str], bool]
Hidden = Callable[[Any], "QuerySet[Any, str]"]
Labels = Callable[[Sequence[str]], Mapping[str, Label]]
Owners = Callable[[str], Iterable[int]]
Mend = Callable[[Any, str], "Cure | None"]
BeforeRetry = Callable[[str, str], None]


@dataclass(frozen=True)
class _Kind:
    can_see: Access
    can_operate: Access
    can_change: Access
    hidden: Hidden | None
    labels: Labels
    owners: Owners
    mend: Mend
    before_retry: BeforeRetry


_kinds: dict[str, _Kind] = {}


def register(
    kind: str,
    *,
    can_see: Access,
    can_operate: Access | None = None,
    can_change: Access | None = None,
    hidden: Hidden | None = None,
    labels: Labels | None = None,
    owners: Owners | None = None,
    mend: Mend | None = None,
    before_retry: BeforeRetry | None = None,
) -> None:
    """Register a kind of resource: `server` is the kind of `server:12`.

    `can_see(user, "12")` returns whether a user who is no admin may see jobs on `server:12`; `can_operate` whether
    that user may cancel and retry them (default: `can_see`); `can_change` the same for operations with `needs_change`
    (default: `can_operate`). `hidden(user)` selects the resources that are there and that `can_see` denies, for lists.
    `labels(["12", "13"])` returns labels for those resources that still exist.
    `owners("12")` returns the ids of the users who are alerted when a job on the resource fails.
    `mend(user, "12")` returns what most often helps after a failed job on the resource.
    `before_retry("12", "restart")` checks and changes what a new request of the operation would, in the transaction of
    the retry, and raises Refused.
    """
    _kinds[kind] = _Kind(
        can_see,
        can_operate or can_see,
        can_change or can_operate or can_see,
        hidden,
        labels or (lambda numbers: {}),
        owners or (lambda number: ()),
        mend or (lambda user, number: None),
        before_retry or (lambda number, operation: None),
    )


def register_rows(
    kind: str,
    model: type[Model],
    *,
    can_see: Callable[[Any, Any], bool],
    can_operate: Callable[[Any, Any], bool],
    can_change: Callable[[Any, Any], bool] | None = None,
    mend: Mend | None = None,
    before_retry: BeforeRetry | None = None,
) -> None:
    """Register the rows of a model with `name`, `owner_id` and a page; the rules take a user and a row.

    The model's `visible_to(user)` holds the rows that `can_see` admits.
    """
    rows = model._default_manager

    def allowed_by(rule: Callable[[Any, Any], bool]) -> Access:
        def is_allowed(user: Any, number: str) -> bool:
            row = rows.filter(pk=number).first()
            return row is not None and rule(user, row)

        return is_allowed

    def hidden(user: Any) -> QuerySet[Any, str]:
        name = Concat(Value(f"{kind}:"), Cast("pk", CharField()))
        visible = cast("Any", rows).visible_to(user)
        return rows.exclude(pk__in=visible.values("pk")).order_by().values_list(name)

    def labels(numbers: Sequence[str]) -> dict[str, Label]:
        found: Iterable[Any] = rows.filter(pk__in=numbers)
        return {str(row.pk): Label(row.name, row.get_absolute_url()) for row in found}

    def owners(number: str) -> Iterable[int]:
        return rows.filter(pk=number, owner__isnull=False).values_list("owner_id", flat=True)

    register(
        kind,
        can_see=allowed_by(can_see),
        can_operate=allowed_by(can_operate),
        can_change=allowed_by(can_change or can_operate),
        hidden=hidden,
        labels=labels,
        owners=owners,
        mend=mend,
        before_retry=before_retry,
    )


def may_see(user: Person, resource: str) -> bool:
    """Return whether the resource's app lets this user see jobs on it."""
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].can_see(user, number)


def may_operate(user: Person, resource: str) -> bool:
    """Return whether the resource's app lets this user cancel and retry jobs on it."""
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].can_operate(user, number)


def may_change(user: Person, resource: str) -> bool:
    """Return whether the resource's app lets this user cancel and retry also jobs that need the right to change it."""
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].can_change(user, number)


def is_there(resource: str) -> bool:
    """Return whether the resource is of a registered kind and exists."""
    return bool(labels([resource]))


def is_gone(resource: str) -> bool:
    """Return whether the resource is of a registered kind, and was deleted."""
    return resource.partition(":")[0] in _kinds and not is_there(resource)


def hidden(user: Person) -> list[QuerySet[Any, str]]:
    """Return selections of the resources that are there and that this user may not see."""
    return [] if user.is_admin else [kind.hidden(user) for kind in _kinds.values() if kind.hidden is not None]


def mend(user: Person, resource: str) -> Cure | None:
    """Return what most often helps after a failed job on the resource, if this user may do it."""
    kind, _, number = resource.partition(":")
    return _kinds[kind].mend(user, number) if kind in _kinds else None


def before_retry(resource: str, operation: str) -> None:
    """Let the resource's app check and change what a new request of the operation would. Raises Refused."""
    kind, _, number = resource.partition(":")
    if kind in _kinds:
        _kinds[kind].before_retry(number, operation)


def owners(resource: str) -> set[int]:
    """Return the ids of the resource's owners."""
    kind, _, number = resource.partition(":")
    return set(_kinds[kind].owners(number)) if kind in _kinds else set()


def labels(resources: Iterable[str]) -> dict[str, Label]:
    """Return the labels of these resources, with one call per kind.

    Resources that were deleted and those of an unregistered kind are left out.
    """
    numbers: dict[str, list[str]] = {}
    for resource in set(resources):
        kind, _, number = resource.partition(":")
        numbers.setdefault(kind, []).append(number)
    return {
        f"{kind}:{number}": label
        for kind, numbers_of_kind in numbers.items()
        if kind in _kinds
        for number, label in _kinds[kind].labels(numbers_of_kind).items()
    }

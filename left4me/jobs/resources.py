"""The kinds of resources that jobs are about: who may see and operate jobs on one, its label and its owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.db.models import CharField, Value
from django.db.models.functions import Cast, Concat

from left4me.core.statements import Given, Numbers, select
from left4me.core.web.ids import parse_id, parse_ids

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    from left4me.core.web.refusals import Cure
    from left4me.core.web.request import Person


@dataclass(frozen=True)
class Label:
    """The name of a resource and the URL of its page."""

    name: str
    url: str


@dataclass(frozen=True)
class Standing:
    """What one user may do with the jobs on a resource, and its label, which is None for one that was deleted."""

    label: Label | None
    may_see: bool
    may_operate: bool
    may_change: bool


Access = Callable[[Any, str], bool]
Stand = Callable[[Any, str], Standing]
Hidden = Callable[[Any], "QuerySet[Any, str]"]
Labels = Callable[[Sequence[str]], Mapping[str, Label]]
Owners = Callable[[str], Iterable[int]]
Mend = Callable[[Any, str], "Cure | None"]
BeforeRetry = Callable[[str, str], None]


@dataclass(frozen=True)
class _Kind:
    can_see: Access
    stand: Stand
    hidden: Hidden | None
    labels: Labels
    owners: Owners
    mend: Mend
    before_retry: BeforeRetry


_kinds: dict[str, _Kind] = {}

GONE = Standing(label=None, may_see=False, may_operate=False, may_change=False)


def register(
    kind: str,
    *,
    can_see: Access,
    can_operate: Access | None = None,
    can_change: Access | None = None,
    hidden: Hidden | None = None,
    stand: Stand | None = None,
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
    `stand(user, "12")` returns all of this about one resource at once, where that costs less.
    `owners("12")` returns the ids of the users who are alerted when a job on the resource fails.
    `mend(user, "12")` returns what most often helps after a failed job on the resource.
    `before_retry("12", "restart")` checks and changes what a new request of the operation would, in the transaction of
    the retry, and raises Refused.
    """
    label_of = labels or (lambda numbers: {})

    def look(user: Any, number: str) -> Standing:
        rules = (can_see, can_operate or can_see, can_change or can_operate or can_see)
        return Standing(label_of([number]).get(number), *(rule(user, number) for rule in rules))

    _kinds[kind] = _Kind(
        can_see,
        stand or look,
        hidden,
        label_of,
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

    one = select(lambda: rows.filter(pk=Given("number")).order_by())
    some = select(lambda: rows.filter(pk__in=Numbers("numbers")).order_by())
    rules = (can_see, can_operate, can_change or can_operate)

    def may_see(user: Any, number: str) -> bool:
        return stand(user, number).may_see

    def stand(user: Any, number: str) -> Standing:
        row: Any = one.first(number=parse_id(number))
        if row is None:
            return GONE
        return Standing(Label(row.name, row.get_absolute_url()), *(rule(user, row) for rule in rules))

    def hidden(user: Any) -> QuerySet[Any, str]:
        name = Concat(Value(f"{kind}:"), Cast("pk", CharField()))
        visible = cast("Any", rows).visible_to(user)
        return rows.exclude(pk__in=visible.values("pk")).order_by().values_list(name)

    def labels(numbers: Sequence[str]) -> dict[str, Label]:
        found: Iterable[Any] = some.rows(numbers=parse_ids(numbers))
        return {str(row.pk): Label(row.name, row.get_absolute_url()) for row in found}

    def owners(number: str) -> Iterable[int]:
        return rows.filter(pk=number, owner__isnull=False).values_list("owner_id", flat=True)

    register(
        kind,
        can_see=may_see,
        stand=stand,
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


def standing(user: Person, resource: str) -> Standing | None:
    """Return how this user, who is no admin, stands to the resource; None if its kind is not registered."""
    kind, _, number = resource.partition(":")
    return _kinds[kind].stand(user, number) if kind in _kinds else None


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

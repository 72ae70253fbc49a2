"""The kinds of resources that jobs are about: who may see and operate jobs on one, its label and its owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import Model

    from left4me.core.web.refusals import Cure
    from left4me.core.web.request import Person


@dataclass(frozen=True)
class Label:
    """The name of a resource and the URL of its page."""

    name: str
    url: str


Access = Callable[[Any, str], bool]
Labels = Callable[[Sequence[str]], Mapping[str, Label]]
Owners = Callable[[str], Iterable[int]]
Mend = Callable[[Any, str], "Cure | None"]


@dataclass(frozen=True)
class _Kind:
    can_see: Access
    can_operate: Access
    labels: Labels
    owners: Owners
    mend: Mend


_kinds: dict[str, _Kind] = {}


def register(
    kind: str,
    *,
    can_see: Access,
    can_operate: Access | None = None,
    labels: Labels | None = None,
    owners: Owners | None = None,
    mend: Mend | None = None,
) -> None:
    """Register a kind of resource: `server` is the kind of `server:12`.

    `can_see(user, "12")` returns whether a user who neither requested a job on `server:12` nor is an admin may see it;
    `can_operate` whether that user may cancel and retry it (default: `can_see`).
    `labels(["12", "13"])` returns labels for those resources that still exist.
    `owners("12")` returns the ids of the users who are alerted when a job on the resource fails.
    `mend(user, "12")` returns what most often helps after a failed job on the resource.
    """
    _kinds[kind] = _Kind(
        can_see,
        can_operate or can_see,
        labels or (lambda numbers: {}),
        owners or (lambda number: ()),
        mend or (lambda user, number: None),
    )


def register_rows(
    kind: str,
    model: type[Model],
    *,
    can_see: Callable[[Any, Any], bool],
    can_operate: Callable[[Any, Any], bool],
    mend: Mend | None = None,
) -> None:
    """Register the rows of a model with `name`, `owner_id` and a page; the two rules take a user and a row."""
    rows = model._default_manager

    def allowed_by(rule: Callable[[Any, Any], bool]) -> Access:
        def is_allowed(user: Any, number: str) -> bool:
            row = rows.filter(pk=number).first()
            return row is not None and rule(user, row)

        return is_allowed

    def labels(numbers: Sequence[str]) -> dict[str, Label]:
        found: Iterable[Any] = rows.filter(pk__in=numbers)
        return {str(row.pk): Label(row.name, row.get_absolute_url()) for row in found}

    def owners(number: str) -> Iterable[int]:
        return rows.filter(pk=number, owner__isnull=False).values_list("owner_id", flat=True)

    register(
        kind,
        can_see=allowed_by(can_see),
        can_operate=allowed_by(can_operate),
        labels=labels,
        owners=owners,
        mend=mend,
    )


def may_see(user: Person, resource: str) -> bool:
    """Return whether the resource's app lets this user see jobs on it."""
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].can_see(user, number)


def may_operate(user: Person, resource: str) -> bool:
    """Return whether the resource's app lets this user cancel and retry jobs on it."""
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].can_operate(user, number)


def mend(user: Person, resource: str) -> Cure | None:
    """Return what most often helps after a failed job on the resource, if this user may do it."""
    kind, _, number = resource.partition(":")
    return _kinds[kind].mend(user, number) if kind in _kinds else None


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

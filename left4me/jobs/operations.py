"""The registry of operations. Apps register them; the engine knows the operations only through it.

An app registers in its `operations.py`, imported when Django is ready:

    @operation("start", title=_("Start"), locks=_locks, idempotent=True)
    def start(run: JobContext) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from left4me.jobs.context import JobContext

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Failed(Exception):
    """The job cannot be done. The message is shown to the operator.

    `may_pass`: time may mend the cause, so that another attempt makes sense although nobody has changed anything.
    """

    def __init__(self, message: str, *, exit_code: int = 1, may_pass: bool = False) -> None:
        self.exit_code = exit_code
        self.may_pass = may_pass
        super().__init__(message)


class UnknownOperation(LookupError):
    """No app has registered this operation."""


@dataclass(frozen=True)
class Lock:
    """A resource that a job needs until it ends. A resource without a number (`game`) is that of the job's host."""

    resource: str
    exclusive: bool


def backup_lock(job: RequestedJob) -> Lock:
    """The lock of those who make or need backups of the job's resource, beside which other jobs on it may run."""
    return Lock(job.resource.replace(":", "-backup:"), exclusive=True)


def lock_with_backups(job: RequestedJob) -> Iterable[Lock]:
    """The locks of a job that has its resource and the backups of it for itself."""
    yield Lock(job.resource, exclusive=True)
    yield backup_lock(job)


class RequestedJob(Protocol):
    """What locks and secrets are derived from. The model implements it; this module must not import the model."""

    @property
    def resource(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def params(self) -> Any: ...


Body = Callable[[JobContext], None]
Locks = Callable[[RequestedJob], Iterable[Lock]]
Secrets = Callable[[RequestedJob], Iterable[str]]

# In `supersedes`: every other operation.
ALL = "*"


@dataclass(frozen=True)
class Operation:
    """A registered operation; `operation` explains the options."""

    name: str
    title: StrOrPromise
    body: Body
    locks: Locks
    idempotent: bool
    supersedes: frozenset[str]
    cancellable: bool
    final: bool
    coalesces_active: bool
    needs_change: bool
    secrets: Secrets

    def supersedes_operation(self, name: str) -> bool:
        return name != self.name and (ALL in self.supersedes or name in self.supersedes)


_operations: dict[str, Operation] = {}


def _own_resource(job: RequestedJob) -> Iterable[Lock]:
    return [Lock(job.resource, exclusive=True)]


def _no_secrets(job: RequestedJob) -> Iterable[str]:
    return ()


def operation(
    name: str,
    *,
    title: StrOrPromise,
    locks: Locks = _own_resource,
    idempotent: bool = False,
    supersedes: Iterable[str] = (),
    cancellable: bool = True,
    final: bool = False,
    coalesces_active: bool = False,
    needs_change: bool = False,
    secrets: Secrets = _no_secrets,
) -> Callable[[Body], Body]:
    """Register the decorated function as the body of the operation `name`.

    `locks` is called once, in the transaction that writes the job. `idempotent`: the job runs again if its worker
    died. `supersedes`: names (or `ALL`) of operations whose queued and running jobs on the same resource a request
    of this one cancels. `cancellable=False`: a running job cannot be cancelled. `final`: until it ends, no other
    operation is accepted for its resource (a deletion). `coalesces_active`: a request returns the running job if it
    is equal. `needs_change`: users who may only operate the resource may neither cancel nor retry it. `secrets`
    returns words that must never be logged.
    """

    def register(body: Body) -> Body:
        if name in _operations and _operations[name].body is not body:
            raise ValueError(f"The operation {name!r} is registered twice.")
        _operations[name] = Operation(
            name=name,
            title=title,
            body=body,
            locks=locks,
            idempotent=idempotent,
            supersedes=frozenset(supersedes),
            cancellable=cancellable,
            final=final,
            coalesces_active=coalesces_active,
            needs_change=needs_change,
            secrets=secrets,
        )
        return body

    return register


def get(name: str) -> Operation:
    """Return the operation; raises UnknownOperation."""
    try:
        return _operations[name]
    except KeyError:
        raise UnknownOperation(name) from None


def find(name: str) -> Operation | None:
    """Return the operation, None when this version of the code has none of this name."""
    return _operations.get(name)


def names() -> list[str]:
    """Return the names of all operations, sorted."""
    return sorted(_operations)

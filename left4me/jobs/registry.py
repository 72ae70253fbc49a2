"""Where apps say which operations exist and how each behaves; the engine itself knows none.

An app registers in its `operations.py`, imported when Django is ready:

    @registry.operation("start", title=_("Start"), locks=_locks, idempotent=True)
    def start(run: registry.Run) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from left4me.core.concurrency import Cancelled as Cancelled
from left4me.core.processes import commands

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from left4me.core.web.request import Person
    from left4me.jobs.models import Job


class Failed(Exception):
    """The job cannot be done; the message is written for the operator who reads it."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class UnknownOperation(LookupError):
    """No app has registered this operation."""


@dataclass(frozen=True)
class Lock:
    """A claim on a resource while the job lives. One without a number (`game`) is the job's host's own."""

    resource: str
    exclusive: bool


class Run(Protocol):
    """What the body of an operation is given: its job, and the ways to speak and to listen."""

    @property
    def job_id(self) -> int: ...
    @property
    def resource(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def params(self) -> Mapping[str, Any]: ...
    @property
    def attempt(self) -> int:
        """1 at first; more when an earlier worker died under this job."""
        ...

    @property
    def resource_id(self) -> int:
        """The number of the resource: 12 of `server:12`."""
        ...

    def log(self, line: str, stream: Literal["stdout", "stderr", "event"] = "stdout") -> None:
        """Add to the job's log. Never blocks; a flood is cut, with one line that counts what was left out."""
        ...

    def progress(self, *, phase: StrOrPromise, done: int, total: int | None = None, unit: StrOrPromise = "") -> None:
        """Say how far it is. Cheap: only what a person could see is passed on."""
        ...

    def mask(self, *secrets: str) -> None:
        """From now on these words never appear in the log or in the error."""
        ...

    def cancelled(self) -> bool:
        """Whether to stop at the next safe point. A few hundred nanoseconds: ask in every loop."""
        ...

    def check(self) -> None:
        """Raise Cancelled when it is time to stop."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait, for a retry's pause; raises Cancelled as soon as the job is told to stop."""
        ...

    def command(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        with_pty: bool = False,
        check: bool = True,
    ) -> commands.Finished:
        """Run a program with its output in the log; it ends, as a whole group, with a cancel or with the worker.

        Raises Cancelled, and what `commands.run` raises.
        """
        ...


Body = Callable[[Run], None]
Locks = Callable[["Job"], Iterable[Lock]]
Secrets = Callable[["Job"], Iterable[str]]
Access = Callable[[Any, str], bool]


@dataclass(frozen=True)
class Label:
    """How people know a resource: its name, and the address of its page."""

    name: str
    url: str


Owners = Callable[[str], Iterable[int]]
Labels = Callable[[Sequence[str]], Mapping[str, Label]]

ALL = "*"


@dataclass(frozen=True)
class Operation:
    name: str
    title: StrOrPromise
    body: Body
    locks: Locks
    idempotent: bool
    supersedes: frozenset[str]
    cancellable: bool
    final: bool
    coalesces_active: bool
    secrets: Secrets

    def supersedes_operation(self, name: str) -> bool:
        return name != self.name and (ALL in self.supersedes or name in self.supersedes)


@dataclass(frozen=True)
class _Kind:
    sees: Access
    operates: Access
    labels: Labels
    owners: Owners


_operations: dict[str, Operation] = {}
_kinds: dict[str, _Kind] = {}


def _own_resource(job: Job) -> Iterable[Lock]:
    return [Lock(job.resource, exclusive=True)]


def _no_secrets(job: Job) -> Iterable[str]:
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
    secrets: Secrets = _no_secrets,
) -> Callable[[Body], Body]:
    """Register the decorated function as the body of the operation `name`.

    `locks` is asked once, in the transaction that writes the job. `idempotent`: it runs once more when its worker
    died. `supersedes`: names (or `ALL`) that a request of this one cancels on the same resource, waiting or
    running. `cancellable=False`: once it runs it runs to its end. `final`: while it lives, nothing else is accepted
    for its resource (a deletion). `coalesces_active`: asking while an equal one already runs returns that one.
    `secrets` gives words that must never be logged.
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
    return _operations.get(name)


def names() -> list[str]:
    return sorted(_operations)


HostFaults = Callable[[], Mapping[str, "StrOrPromise"]]
_host_faults: list[HostFaults] = []


def host_faults(faults: HostFaults) -> None:
    """Let `faults` say, by name, of which hosts no work can be expected now, and why: “silent since …”."""
    _host_faults[:] = [faults]


def faults_of_hosts() -> dict[str, StrOrPromise]:
    """What is known to be wrong with hosts, by name; those not named are fit. One query."""
    return {name: words for faults in _host_faults for name, words in faults().items()}


def visibility(
    kind: str,
    sees: Access,
    *,
    operates: Access | None = None,
    labels: Labels | None = None,
    owners: Owners | None = None,
) -> None:
    """Say who, beside the one who asked and the admins, may see jobs on resources of this kind.

    `sees(user, "12")` answers for `server:12`; `operates` says who may cancel and retry them (default: those who see).
    `labels(["12", "13"])` gives those that still exist the name and the address by which people know them.
    `owners("12")` gives the keys of the users whose it is: those whom a failure concerns.
    """
    _kinds[kind] = _Kind(sees, operates or sees, labels or (lambda numbers: {}), owners or (lambda number: ()))


def may_see(user: Person, resource: str) -> bool:
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].sees(user, number)


def may_operate(user: Person, resource: str) -> bool:
    kind, _, number = resource.partition(":")
    return kind in _kinds and _kinds[kind].operates(user, number)


def owners(resource: str) -> set[int]:
    kind, _, number = resource.partition(":")
    return set(_kinds[kind].owners(number)) if kind in _kinds else set()


def labels(resources: Iterable[str]) -> dict[str, Label]:
    """How people know these resources; those that no app names, or that are gone, are left out. One call a kind."""
    numbers: dict[str, list[str]] = {}
    for resource in set(resources):
        kind, _, number = resource.partition(":")
        numbers.setdefault(kind, []).append(number)
    return {
        f"{kind}:{number}": label
        for kind, wanted in numbers.items()
        if kind in _kinds
        for number, label in _kinds[kind].labels(wanted).items()
    }

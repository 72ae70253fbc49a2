"""What is known about the copies of a host's servers on the machine of the web, for its page, the API and alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from left4me.alerts.attention import Reason, Severity
from left4me.core.natural_order import NaturalOrder
from left4me.core.web.request import Visitor, is_admin
from left4me.jobs.models import Job
from servers.models import Host, Server, ServerCopy
from servers.models.copies import COPY, are_made
from servers.state import crash_alerts


@dataclass(frozen=True)
class CopyOfServer:
    """A server of the host, its copy, and the newest job that copied it."""

    server: Server
    copy: ServerCopy | None
    job: Job | None
    is_late: bool

    @property
    def failed_job(self) -> Job | None:
        """The job, if it failed and none has succeeded since."""
        return self.job if self.job is not None and self.job.state == Job.State.FAILED else None


@dataclass(frozen=True)
class HostCopies:
    """The copies of all servers of a host."""

    items: list[CopyOfServer]

    @cached_property
    def oldest(self) -> datetime | None:
        """When the last complete round was: None while a server was never copied."""
        times = [item.copy.copied_at if item.copy else None for item in self.items]
        found = [time for time in times if time is not None]
        return min(found) if found and len(found) == len(times) else None

    @property
    def size(self) -> int:
        return sum(item.copy.size for item in self.items if item.copy)

    @property
    def is_late(self) -> bool:
        return any(item.is_late for item in self.items)

    @property
    def is_busy(self) -> bool:
        return any(item.job is not None and item.job.is_live for item in self.items)


def of_host(host: Host, *, now: datetime) -> HostCopies | None:
    """The copies of a worker host's servers; None for the web's own host, and where no copies are made."""
    if host.name == settings.LEFT4ME_HOST or not are_made():
        return None
    servers = list(host.servers.select_related("copy").order_by(NaturalOrder("name")))
    resources = [server.resource for server in servers]
    newest = Job.objects.filter(operation=COPY, resource__in=resources).order_by().values("resource")
    jobs = {job.resource: job for job in Job.objects.filter(pk__in=newest.annotate(newest=Max("pk")).values("newest"))}
    return HostCopies([_item(server, jobs.get(server.resource), now) for server in servers])


def of_server(server: Server) -> ServerCopy | None:
    """Its copy; None where none is made of it."""
    if server.host.name == settings.LEFT4ME_HOST or not are_made():
        # One of a lost host waits for this host.
        return ServerCopy.objects.filter(server=server).exclude(lost_host="").first()
    return ServerCopy.objects.filter(server=server).first()


def late_servers(hosts: Iterable[Host], *, now: datetime) -> dict[int, list[str]]:
    """The names of the servers of each host whose last copy is too old; in one query at most."""
    found: dict[int, list[str]] = {}
    others = [host for host in hosts if host.name != settings.LEFT4ME_HOST]
    if others and are_made():
        rows = ServerCopy.objects.late(now).filter(server__host__in=others).order_by("server")
        for host_id, name in rows.values_list("server__host", "server__name"):
            found.setdefault(host_id, []).append(name)
    return found


def reasons(hosts: Sequence[Host], *, user: Visitor, now: datetime) -> dict[int, list[Reason]]:
    """Why hosts need attention whose servers have no recent copy. The names of these servers are for admins."""
    if not is_admin(user):
        return {}
    late, by_id = late_servers(hosts, now=now), {host.pk: host for host in hosts}
    return {
        host_id: [
            Reason(
                kind="copies_late",
                severity=Severity.WARN,
                label=_("No recent copies"),
                text=crash_alerts.late_copies(names),
                url=by_id[host_id].get_absolute_url(),
            )
        ]
        for host_id, names in late.items()
    }


def _item(server: Server, job: Job | None, now: datetime) -> CopyOfServer:
    copy = getattr(server, "copy", None)
    return CopyOfServer(server, copy, job, is_late=copy is not None and copy.is_late(now))

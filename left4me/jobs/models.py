"""Jobs, their locks and their log lines. The rows are the only source of truth about jobs."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from left4me.core import clock
from left4me.core.lines import LONGEST_LINE
from left4me.core.statements import Given, Selection, select
from left4me.core.web.ids import address
from left4me.jobs import operations, resources
from left4me.jobs.states import ACTIVE, ENDED, LIVE, State

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from left4me.core.web.request import Person


class JobQuerySet(models.QuerySet["Job"]):
    def queued(self) -> Self:
        return self.filter(state=State.QUEUED)

    def active(self) -> Self:
        return self.filter(state__in=ACTIVE)

    def live(self) -> Self:
        # A constraint says that these two are the same; the second one is in the indexes.
        return self.filter(state__in=LIVE, finished_at=None)

    def ended(self) -> Self:
        return self.filter(state__in=ENDED)

    def on_host(self, host: str) -> Self:
        return self.filter(host=host)

    def is_running(self, job_id: int, *, operation: str, resource: str, host: str) -> bool:
        """Whether the job runs on the host: what a worker host asks for counts only while its job does."""
        rows = self.on_host(host).filter(pk=job_id, operation=operation, resource=resource)
        return rows.filter(state=State.RUNNING).exists()

    def asked_by(self, user: Person) -> Self:
        """The jobs that the user requested, except on what the user may not see any more."""
        jobs = self.filter(user_id=user.pk)
        for names in resources.hidden(user):
            jobs = jobs.exclude(resource__in=names)
        return jobs

    def abandoned(self, now: datetime, *, lease: timedelta) -> Self:
        """Active jobs whose worker has stopped renewing the lease: also while the clock was ahead of the present."""
        ahead = Q(lease_expires_at__gt=now + lease + clock.AHEAD)
        return self.active().filter(ahead | Q(lease_expires_at__lt=now))

    def claimable(self) -> Self:
        """Queued jobs that no lock of an older live job blocks.

        Locks are written with the job and deleted at its end, and only younger jobs are added. So a job that is
        claimable stays so until it is claimed, and the claim needs no lock, only a conditional UPDATE.
        """
        older = JobLock.objects.filter(resource=OuterRef("resource"), job_id__lt=OuterRef("job_id"))
        in_the_way = JobLock.objects.filter(job=OuterRef("pk")).filter(
            Exists(older.filter(exclusive=True)) | Q(exclusive=True) & Exists(older)
        )
        return self.queued().filter(~Exists(in_the_way))


def oldest_claimable(host: str, *, most: int) -> list[tuple[int, str]]:
    """The ids and operations of the `most` oldest claimable jobs of `host`.

    Asked after each job that others wait for.
    """
    return _oldest_claimable(most).rows(host=host)


@functools.cache
def _oldest_claimable(most: int) -> Selection[tuple[int, str]]:
    jobs = Job.objects.claimable().filter(host=Given("host")).order_by("pk")
    return select(lambda: jobs.values_list("pk", "operation")[:most])


class Job(models.Model):
    """One requested operation on one resource, and its state."""

    State = State

    # Why it waits apart from locks, as a sentence; None until `queue_reasons.explain` has set it.
    waiting_for: StrOrPromise | None = None

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        db_index=False,
        related_name="jobs",
    )
    operation = models.CharField(_("operation"), max_length=64)
    resource = models.CharField(_("resource"), max_length=96)
    host = models.CharField(_("host"), max_length=63)
    params = models.JSONField(default=dict, blank=True)
    # The id of the HTTP request that requested it: connects the log lines of the web with those of the worker.
    request_id = models.CharField(max_length=64, blank=True, editable=False)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.QUEUED)
    exit_code = models.IntegerField(null=True, blank=True)
    error = models.TextField(blank=True)
    progress = models.JSONField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=160, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    # The number of the newest log line. Writers increment it under the lock of the row, so numbers have no gaps.
    last_seq = models.PositiveBigIntegerField(default=0)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="job_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=ENDED, finished_at__isnull=False) | Q(state__in=LIVE, finished_at__isnull=True),
                name="job_finished_at_says_ended",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ACTIVE, lease_expires_at__isnull=False)
                | ~Q(state__in=ACTIVE) & Q(lease_expires_at__isnull=True, worker=""),
                name="job_lease_while_active",
            ),
        ]
        indexes = [
            models.Index(fields=["host", "state", "id"], name="job_on_host"),
            models.Index(fields=["lease_expires_at"], name="job_lease"),
            models.Index(fields=["resource", "-id"], name="job_of_resource"),
            models.Index(fields=["user", "-id"], name="job_of_user"),
            models.Index(fields=["state", "-id"], name="job_in_state"),
            models.Index(fields=["finished_at"], name="job_finished"),
            # Live jobs, and those that ended last, without a look at all that ended before.
            models.Index(fields=["resource", "finished_at"], name="job_of_resource_by_end"),
            models.Index(fields=["user", "finished_at"], name="job_of_user_by_end"),
            models.Index(fields=["operation", "state"], name="job_of_operation_in_state"),
        ]

    def __str__(self) -> str:
        return f"{self.pk}: {self.operation} {self.resource}"

    def get_absolute_url(self) -> str:
        return address("jobs:detail", self.pk)

    @property
    def title(self) -> str:
        """The title of the operation; its name if this version of the code has no such operation."""
        operation = operations.find(self.operation)
        return str(operation.title) if operation is not None else self.operation

    @property
    def is_live(self) -> bool:
        return self.state in LIVE

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def can_be_cancelled(self) -> bool:
        """False if it is being cancelled already, or runs and its operation cannot be cancelled."""
        operation = operations.find(self.operation)
        runs_to_its_end = operation is not None and not operation.cancellable
        return self.state == State.QUEUED or (self.state == State.RUNNING and not runs_to_its_end)

    @property
    def can_be_retried(self) -> bool:
        return self.state in (State.FAILED, State.CANCELLED) and operations.find(self.operation) is not None

    @property
    def ran_for(self) -> timedelta | None:
        return self.finished_at - self.started_at if self.finished_at and self.started_at else None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class JobLock(models.Model):
    """A resource that a live job needs. Deleted when the job ends."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="locks")
    resource = models.CharField(max_length=160)
    exclusive = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["resource", "job"], name="job_lock_once")]
        indexes = [
            # Finds an older exclusive lock in one step, however many shared locks there are.
            models.Index(fields=["resource", "job"], condition=Q(exclusive=True), name="job_lock_exclusive"),
        ]

    def __str__(self) -> str:
        return f"{self.resource} ({'exclusive' if self.exclusive else 'shared'})"


class JobLog(models.Model):
    """One line of a job's log, numbered 1, 2, 3 … per job."""

    class Stream(models.TextChoices):
        STDOUT = "stdout"
        STDERR = "stderr"
        EVENT = "event"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, db_index=False, related_name="log")
    seq = models.PositiveBigIntegerField()
    stream = models.CharField(max_length=6, choices=Stream)
    line = models.CharField(max_length=LONGEST_LINE)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["job", "seq"]
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="job_log_numbered")]

    def __str__(self) -> str:
        return self.line

    def as_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "stream": self.stream, "line": self.line, "created_at": self.created_at.isoformat()}

"""The stream with Django alone, for comparison: an async view with one Redis subscription per viewer."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "left4me.settings")
django.setup()

import redis.asyncio  # noqa: E402
from django.conf import settings  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import Http404, HttpRequest, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from left4me.core.redis import keys  # noqa: E402
from left4me.jobs import permissions  # noqa: E402
from left4me.jobs.models import Job, JobLog  # noqa: E402


async def stream(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    user = await request.auser()
    job = await Job.objects.aget(pk=pk)
    if not permissions.can_see(user, job):
        raise Http404
    return StreamingHttpResponse(events(pk), content_type="text/event-stream")


async def events(pk: int) -> AsyncIterator[bytes]:
    async with redis.asyncio.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as subscription:
        await subscription.subscribe(keys.job_channel(pk))
        last = 0
        async for line in JobLog.objects.filter(job=pk).order_by("seq"):
            last = line.seq
            yield encoded(line.as_json())
        async for message in subscription.listen():
            if message["type"] == "message":
                for line in json.loads(message["data"]).get("lines", []):
                    if line["seq"] > last:
                        yield encoded(line)


def encoded(line: dict[str, object]) -> bytes:
    return f"id: {line['seq']}\nevent: line\ndata: {json.dumps(line)}\n\n".encode()


urlpatterns = [path("jobs/<int:pk>/stream", stream)]
settings.ROOT_URLCONF = __name__
application = get_asgi_application()

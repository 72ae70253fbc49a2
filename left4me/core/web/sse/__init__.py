"""Live streams to browsers and scripts: server-sent events over raw ASGI.

However many viewers watch, a process holds one Redis subscription and a handful of threads; a viewer costs a task.
An app implements a `Source` for each kind of stream; `left4me/streams.py` routes paths to them.
"""

from left4me.core.web.sse.application import Application, OpenStreams, Route
from left4me.core.web.sse.events import Event, Message, Page, Position, Source, Standing
from left4me.core.web.sse.hub import Hub
from left4me.core.web.sse.signals import Signals

__all__ = [
    "Application",
    "Event",
    "Hub",
    "Message",
    "OpenStreams",
    "Page",
    "Position",
    "Route",
    "Signals",
    "Source",
    "Standing",
]

"""What uvicorn serves: pages through Django's WSGI handler, streams through a small ASGI application of their own.

A Django streaming response holds a thread, and once it has touched the database a connection, for as long as a
viewer stays; and synchronous views pay dearly under Django's own ASGI handler. So each goes its own way here.
"""

from __future__ import annotations

from a2wsgi import WSGIMiddleware

from left4me.wsgi import application as pages

application = WSGIMiddleware(pages, workers=8)  # type: ignore[arg-type]

"""The JSON API: one NinjaAPI that mounts each app's router."""

from __future__ import annotations

from ninja import NinjaAPI

api = NinjaAPI(title="left4me", version="1", urls_namespace="api", docs_url="docs", openapi_url="openapi.json")

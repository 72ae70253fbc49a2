"""The documentation page of the API, rendered from the OpenAPI document without scripts and without a CDN."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

_METHODS = ("get", "post", "put", "patch", "delete")


class Docs(DocsBase):
    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        schema = api.get_openapi_schema(path_params=kwargs)
        context = {
            "info": schema["info"],
            "groups": _groups(schema),
            "schemas": [_shape(name, body) for name, body in sorted(schema["components"]["schemas"].items())],
            "openapi_url": self.get_openapi_url(api, kwargs),
            # Anonymous visitors have no side bar.
            "layout": "base.html" if request.user.is_authenticated else "door.html",
        }
        return render(request, "api_docs.html", context)


def _groups(schema: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        for method in _METHODS:
            if operation := operations.get(method):
                tag = (operation.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append(_operation(method, path, operation))
    return groups


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {})
    return {
        "method": method.upper(),
        "path": path,
        "anchor": operation["operationId"],
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [
            {
                "name": p["name"],
                "place": p["in"],
                "required": p.get("required", False),
                "type": _type(p.get("schema", {})),
                "description": p.get("description") or p.get("schema", {}).get("description", ""),
            }
            for p in operation.get("parameters", [])
        ],
        "bodies": [_type(media.get("schema", {})) for media in body.values()],
        "responses": [
            {
                "status": status,
                "description": answer.get("description", ""),
                "types": [_type(media.get("schema", {})) for media in answer.get("content", {}).values()],
            }
            for status, answer in operation["responses"].items()
            if status != "4XX"
        ],
    }


def _shape(name: str, body: dict[str, Any]) -> dict[str, Any]:
    required = body.get("required", [])
    return {
        "name": name,
        "description": body.get("description", ""),
        "type": "" if body.get("properties") else _type(body),
        "fields": [
            {
                "name": field,
                "type": _type(spec),
                "required": field in required,
                "description": spec.get("description", ""),
            }
            for field, spec in body.get("properties", {}).items()
        ],
    }


def _type(spec: dict[str, Any]) -> str:
    """A readable name of the type `spec`: `Server`, `list of Job`, `integer or null`, `"read" | "operate"`."""
    if "$ref" in spec:
        return str(spec["$ref"]).rpartition("/")[2]
    if "enum" in spec or "const" in spec:
        return " | ".join(f'"{value}"' for value in spec.get("enum", [spec.get("const")]))
    for several in ("anyOf", "oneOf", "allOf"):
        if several in spec:
            return " or ".join(_type(one) for one in spec[several])
    if spec.get("type") == "array":
        return f"list of {_type(spec.get('items', {}))}"
    kind = str(spec.get("format") or spec.get("type") or "any")
    least, most = spec.get("minimum"), spec.get("maximum")
    return f"{kind} from {least} to {most}" if least is not None and most is not None else kind

"""The document as a page: one HTML text that loads nothing and runs nothing.

Whatever comes from the document is escaped: titles and docstrings are the user's, the server's name may be
the client's.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["page"]

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 small { font-weight: normal; }
article { border: 1px solid GrayText; border-radius: .5rem; padding: 0 1rem 1rem; margin: 1rem 0; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .5rem; border: 1px solid GrayText; border-radius: .25rem; }
p.text { white-space: pre-line; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid GrayText; padding: .25rem .5rem; text-align: left; vertical-align: top; }
"""
_DIRECTIONS = {"receive": "The client sends", "send": "The server sends"}


def page(document: Mapping[str, Any]) -> str:
    """The page that shows `document`, an AsyncAPI 3.0 document.

    Example:
        >>> "<h1>A &amp; B" in page({"asyncapi": "3.0.0", "info": {"title": "A & B", "version": "1"}})
        True
    """
    info = document["info"]
    title = escape(str(info["title"]))
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # or the browser would ask for /favicon.ico
            f"<title>{title}</title><style>{_STYLE}</style></head><body><main>",
            f"<h1>{title} <small>{escape(str(info['version']))}</small></h1>",
            _text(info.get("description")),
            *_servers(document.get("servers", {})),
            *_channels(document),
            *_schemas(document.get("components", {})),
            "</main></body></html>",
        ]
    )


def _text(text: Any) -> str:
    return f'<p class="text">{escape(str(text))}</p>' if text else ""


def _servers(servers: Mapping[str, Any]) -> Iterator[str]:
    for server in servers.values():
        url = f"{server['protocol']}://{server['host']}{server.get('pathname', '')}"
        yield f"<p>Server: <code>{escape(url)}</code> {escape(server.get('description', ''))}</p>"


def _channels(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Channels</h2>"
    channels = document.get("channels", {})
    if not channels:
        yield "<p>There is no WebSocket endpoint yet.</p>"
    for name, channel in channels.items():
        yield f'<article id="channel-{escape(name)}"><h3><code>{escape(str(channel["address"]))}</code></h3>'
        yield _text(channel.get("description"))
        yield from _values(channel)
        reference = f"#/channels/{name}"
        for operation in document.get("operations", {}).values():
            if operation["channel"]["$ref"] == reference:
                yield from _operation(operation, channel)
        yield "</article>"


def _values(channel: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("path", name, True, parameter.get("description", ""), parameter.get("enum"))
        for name, parameter in channel.get("parameters", {}).items()
    ]
    binding = channel.get("bindings", {}).get("ws", {})
    for place in ("query", "headers"):
        schema = binding.get(place, {})
        required = schema.get("required", [])
        rows += [
            (place, name, name in required, each.get("description", ""), each)
            for name, each in schema.get("properties", {}).items()
        ]
    if not rows:
        return
    yield "<table><thead><tr><th>Place<th>Name<th>Required<th>Meaning<th>Schema</tr></thead><tbody>"
    for place, name, needed, described, schema in rows:
        shown = f"<code>{escape(json.dumps(schema, ensure_ascii=False))}</code>" if schema else ""
        yield f"<tr><td>{place}<td><code>{escape(name)}</code><td>{'yes' if needed else 'no'}"
        yield f"<td>{escape(str(described))}<td>{shown}</tr>"
    yield "</tbody></table>"


def _operation(operation: Mapping[str, Any], channel: Mapping[str, Any]) -> Iterator[str]:
    if operation["action"] in _DIRECTIONS and operation.get("messages"):
        yield f"<h4>{_DIRECTIONS[operation['action']]}</h4>"
    for reference in operation.get("messages", []):
        message = channel["messages"][reference["$ref"].rpartition("/")[2]]
        yield f"<details><summary><code>{escape(str(message['title']))}</code> "
        yield f"{escape(message.get('summary', ''))}</summary>{_json(message['payload'])}</details>"
    if operation.get("security"):
        names = [
            each["$ref"].rpartition("/")[2]
            if "$ref" in each
            else f"{each['type']} {', '.join(each['scopes'])}"
            for each in operation["security"]
        ]
        yield f"<p>Credentials: <code>{escape(' or '.join(names))}</code></p>"


def _schemas(components: Mapping[str, Any]) -> Iterator[str]:
    for heading, part in (("Schemas", "schemas"), ("Security schemes", "securitySchemes")):
        if components.get(part):
            yield f"<h2>{heading}</h2>"
        for name, schema in components.get(part, {}).items():
            yield f"<details><summary><code>{escape(name)}</code></summary>{_json(schema)}</details>"


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"

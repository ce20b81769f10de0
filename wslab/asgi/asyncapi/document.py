"""The AsyncAPI 3.0 document of an application.

A WebSocket route is a channel: its path is the address, and what the handshake carries is said in the
channel's WebSocket binding (version 0.1.0), which has a place for the query and for headers; cookies are
named in the ``Cookie`` header. An operation "receive" or "send" is seen from the application. Its messages
are those that the declaration names (`receives`, `sends`), a union's members one by one. Of a route that
names none it is only said that it receives and sends.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wslab.asgi.asyncapi.schemas import Schemas, name_for, variants
from wslab.asgi.asyncapi.security import schemes_of
from wslab.asgi.inclusion import effective_paths
from wslab.asgi.params import CookieParam, HeaderParam, PathParam, QueryParam
from wslab.asgi.routes import WebSocketRoute

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.routing import WebSocketRoute as StarletteRoute

    from wslab.asgi.applications import App
    from wslab.asgi.asyncapi.info import AsyncAPIInfo
    from wslab.asgi.parameters import Parameter

__all__ = ["document"]

_CONVERTOR = re.compile(r"{(\w+):\w+}")
_VARIABLE = re.compile(r"{(\w+)}")
_SECURE = {"http": "ws", "https": "wss"}


@dataclass
class _Value:
    """One value of a handshake: its name on the wire, and the key of its schema."""

    name: str
    schema: int
    required: bool
    extra: dict[str, Any]


@dataclass
class _Channel:
    """One route, taken apart; schemas are filled in when all are known."""

    name: str
    address: str
    route: StarletteRoute
    values: dict[type, list[_Value]] = field(default_factory=dict)
    messages: dict[str, list[tuple[str, int, Any]]] = field(default_factory=dict)
    security: list[dict[str, Any]] = field(default_factory=list)


def document(app: App, info: AsyncAPIInfo, url: str | None) -> dict[str, Any]:
    """The document of `app`, which is reached at `url` unless its own `servers` say where."""
    schemas = Schemas()
    schemes: dict[str, dict[str, Any]] = {}
    channels: list[_Channel] = []
    servers = _servers(info, url)
    base = _base(servers)
    for path, route in effective_paths(app.router.leaves()):
        channel = _Channel(_free_name(path, {each.name for each in channels}), _address(path), route)
        if isinstance(route, WebSocketRoute):
            for parameter in route.plan.parameters:
                channel.values.setdefault(type(parameter.declared), []).extend(_values(parameter, schemas))
            channel.messages = _messages(route, schemas)
            channel.security = schemes_of(route.plan, schemes, base)
        channels.append(channel)
    components = {"schemas": schemas.finish(), "securitySchemes": schemes}
    made: dict[str, Any] = {"asyncapi": "3.0.0", "info": _info(app, info)}
    if servers:
        made["servers"] = servers
    made["defaultContentType"] = "application/json"
    made["channels"] = {
        channel.name: _channel(channel, schemas, components["schemas"]) for channel in channels
    }
    made["operations"] = {
        f"{action}_{channel.name}": _operation(channel, action)
        for channel in channels
        for action in channel.messages or ("receive", "send")
    }
    made["components"] = {name: each for name, each in components.items() if each}
    return made


def _info(app: App, info: AsyncAPIInfo) -> dict[str, Any]:
    described = "\n\n".join(part for part in (info.summary, app.description) if part)
    fields = {
        "title": app.title,
        "version": app.version,
        "description": described,
        "termsOfService": info.terms_of_service,
        "contact": dict(info.contact),
        "license": {name: value for name, value in info.license_info.items() if name in {"name", "url"}},
    }
    return {name: value for name, value in fields.items() if value}


def _servers(info: AsyncAPIInfo, url: str | None) -> dict[str, Any]:
    declared = list(info.servers) or ([{"url": url}] if url else [])
    made: dict[str, Any] = {}
    for server in declared:
        parts = urlsplit(str(server["url"]))
        entry = {
            "host": parts.netloc or "localhost",
            "protocol": _SECURE.get(parts.scheme, parts.scheme or "ws"),
        }
        if parts.path.strip("/"):
            entry["pathname"] = parts.path.rstrip("/")
        if server.get("description"):
            entry["description"] = str(server["description"])
        made[f"server_{len(made) + 1}" if made else "server"] = entry
    return made


def _base(servers: Mapping[str, Any]) -> str:
    """Where HTTP requests go: what the URLs of token issuers are relative to."""
    first = next(iter(servers.values()), {"host": "localhost", "protocol": "ws"})
    scheme = "https" if first["protocol"] == "wss" else "http"
    return f"{scheme}://{first['host']}{first.get('pathname', '')}/"


def _values(parameter: Parameter, schemas: Schemas) -> Iterator[_Value]:
    if parameter.fields:
        for each in parameter.fields:
            kind: Any = each.info.annotation
            required = each.info.is_required() and parameter.declared.required
            described = {"description": each.info.description} if each.info.description else {}
            yield _Value(each.key, schemas.add(kind), required, described)
        return
    declared = parameter.declared
    extra = {"title": declared.title, "description": declared.description, "default": _default(declared)}
    yield _Value(
        parameter.key,
        schemas.add(parameter.adapter),
        declared.required,
        {name: value for name, value in extra.items() if value is not None},
    )


def _default(declared: Any) -> Any:
    # What JSON cannot say is left out: a default may be any object.
    plain = isinstance(declared.default, (str, int, float, bool))
    return declared.default if plain and not declared.required else None


def _messages(route: WebSocketRoute, schemas: Schemas) -> dict[str, list[tuple[str, int, Any]]]:
    made: dict[str, list[tuple[str, int, Any]]] = {}
    taken: set[str] = set()
    for action, declared in (("receive", route.receives), ("send", route.sends)):
        if declared is None:
            continue
        for kind in variants(declared):
            name = name_for(kind, taken)
            taken.add(name)
            key = schemas.add(kind, "validation" if action == "receive" else "serialization")
            made.setdefault(action, []).append((name, key, kind))
    return made


def _channel(channel: _Channel, schemas: Schemas, shared: Mapping[str, Any]) -> dict[str, Any]:
    route = channel.route
    made: dict[str, Any] = {"address": channel.address, "title": route.name}
    endpoint = getattr(route, "endpoint", None)
    described = _docstring(endpoint)
    if described:
        made["summary"] = described.partition("\n")[0]
        made["description"] = described
    paths = {value.name: value for value in channel.values.get(PathParam, [])}
    parameters = {
        name: _path_parameter(paths.get(name), schemas, shared) for name in _VARIABLE.findall(channel.address)
    }
    if parameters:
        made["parameters"] = parameters
    messages = {
        name: _message(name, schemas[key], kind)
        for each in channel.messages.values()
        for name, key, kind in each
    }
    if messages:
        made["messages"] = messages
    made["bindings"] = {"ws": _binding(channel, schemas)}
    return made


def _docstring(endpoint: Any) -> str:
    described = (endpoint.__dict__.get("__doc__") if inspect.isclass(endpoint) else None) or (
        inspect.getdoc(endpoint) if inspect.isroutine(endpoint) else None
    )
    return inspect.cleandoc(described) if described else ""


def _path_parameter(value: _Value | None, schemas: Schemas, shared: Mapping[str, Any]) -> dict[str, Any]:
    """AsyncAPI's parameter object knows texts only: the values of an enumeration, and what it means."""
    if value is None:
        return {}
    schema = schemas[value.schema]
    schema = shared.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    made: dict[str, Any] = {}
    if isinstance(schema.get("enum"), list):
        made["enum"] = [str(each) for each in schema["enum"]]
    kind = schema.get("type")
    said = [
        value.extra.get("description"),
        f"Type: {kind}." if isinstance(kind, str) and kind != "string" else "",
    ]
    described = " ".join(part for part in said if part)
    if described:
        made["description"] = described
    return made


def _message(name: str, schema: dict[str, Any], kind: Any) -> dict[str, Any]:
    described = (
        inspect.cleandoc(kind.__doc__)
        if isinstance(kind, type) and "__doc__" in vars(kind) and kind.__doc__
        else ""
    )
    made: dict[str, Any] = {"name": name, "title": str(schema.get("title", name)), "payload": schema}
    if described and kind.__module__ != "builtins":
        made["summary"] = described.partition("\n")[0]
    return made


def _binding(channel: _Channel, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {"method": "GET", "bindingVersion": "0.1.0"}
    query = channel.values.get(QueryParam, [])
    headers = channel.values.get(HeaderParam, [])
    cookies = channel.values.get(CookieParam, [])
    if query:
        made["query"] = _object(query, schemas)
    if headers or cookies:
        made["headers"] = _object(headers, schemas)
    if cookies:
        listed = "; ".join(f"{each.name}=…{'' if each.required else ' (optional)'}" for each in cookies)
        made["headers"]["properties"]["Cookie"] = {"type": "string", "description": listed}
        if any(each.required for each in cookies):
            made["headers"].setdefault("required", []).append("Cookie")
    return made


def _object(values: list[_Value], schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": {value.name: {**schemas[value.schema], **value.extra} for value in values},
    }
    required = list(dict.fromkeys(value.name for value in values if value.required))
    if required:
        made["required"] = required
    return made


def _operation(channel: _Channel, action: str) -> dict[str, Any]:
    made: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{channel.name}"}}
    named = [name for name, _, _ in channel.messages.get(action, [])]
    if named:
        made["messages"] = [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in named]
    if channel.security:
        made["security"] = channel.security
    return made


def _address(path: str) -> str:
    return _CONVERTOR.sub(r"{\1}", path)


def _free_name(path: str, taken: set[str]) -> str:
    plain = re.sub(r"\W+", "_", _address(path), flags=re.ASCII).strip("_") or "root"
    number, name = 1, plain
    while name in taken:
        number += 1
        name = f"{plain}_{number}"
    return name

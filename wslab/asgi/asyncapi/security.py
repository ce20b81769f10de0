"""Security schemes as AsyncAPI 3.0 has them, from the dependencies of a route.

AsyncAPI calls a key in a query, header or cookie `httpApiKey`, and the scopes of an OAuth flow
`availableScopes`; the rest is OpenAPI's. A route's list means "one of these", there as here; that several
must hold together cannot be said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from wslab.asgi.plan import Call
from wslab.asgi.security.base import SecurityBase

if TYPE_CHECKING:
    from wslab.asgi.plan import Plan

__all__ = ["schemes_of"]

_UNNAMED = re.compile(r"[^\w.-]+", re.ASCII)
_SCOPED = {"oauth2", "openIdConnect"}


def schemes_of(plan: Plan, schemes: dict[str, dict[str, Any]], base: str) -> list[dict[str, Any]]:
    """What one of the dependencies of `plan` asks for; new schemes are added to `schemes`.

    Args:
        plan: of the route.
        schemes: the schemes of the document by name.
        base: what relative URLs are relative to: the document must have absolute ones.
    """
    made: list[dict[str, Any]] = []
    for step in plan.steps:
        call: Any = step.call if isinstance(step, Call) else None
        if not (isinstance(step, Call) and isinstance(call, SecurityBase)):
            continue
        scheme = _scheme(call.model.model_dump(by_alias=True, exclude_none=True, mode="json"), base)
        name = _name_in(schemes, call.scheme_name, scheme)
        if step.scopes and scheme["type"] in _SCOPED:
            entry: dict[str, Any] = {**scheme, "scopes": list(step.scopes)}
        else:
            entry = {"$ref": f"#/components/securitySchemes/{name}"}
        if entry not in made:
            made.append(entry)
    return made


def _scheme(described: dict[str, Any], base: str) -> dict[str, Any]:
    made = dict(described)
    if made["type"] == "apiKey":
        made["type"] = "httpApiKey"
    if "openIdConnectUrl" in made:
        made["openIdConnectUrl"] = urljoin(base, made["openIdConnectUrl"])
    if "flows" in made:
        made["flows"] = {name: _flow(flow, base) for name, flow in made["flows"].items()}
    return made


def _flow(flow: dict[str, Any], base: str) -> dict[str, Any]:
    made = {name: value for name, value in flow.items() if name != "scopes"}
    for name in ("authorizationUrl", "tokenUrl", "refreshUrl"):
        if name in made:
            made[name] = urljoin(base, made[name])
    return {**made, "availableScopes": flow.get("scopes", {})}


def _name_in(schemes: dict[str, dict[str, Any]], wished: str, scheme: dict[str, Any]) -> str:
    """The name of `scheme`: two of one class that look in different places are two schemes."""
    plain = _UNNAMED.sub("_", wished)
    number, name = 1, plain
    while schemes.setdefault(name, scheme) != scheme:
        number += 1
        name = f"{plain}_{number}"
    return name

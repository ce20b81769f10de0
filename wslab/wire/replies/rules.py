"""What a JSON message says of requests and replies: the ids in it, and its type.

**An id**, in a JSON object or in each of a JSON array of objects (a JSON-RPC batch). A field of the answer
has the value that a field of the request had. Names count without case, ``_`` and ``-``:

===============================================  ==========================================================
in the answer                                    names, in the request
===============================================  ==========================================================
``id``                                           ``id``
``request_id``, ``req_id``                       ``request_id``, ``req_id``, ``id``
``correlation_id``                               ``correlation_id``, ``message_id``, ``request_id``, ``id``
``message_id``, ``msg_id``                       ``message_id``, ``msg_id``
``call_id``                                      ``call_id``, ``id``
``ref``                                          ``ref``, ``id``
``reply_to``, ``in_reply_to``, ``response_to``   any of those above, and ``seq``
``ack``                                          ``seq``, ``id``, ``message_id``
``seq``, where the type ends in `ANSWERING`      ``seq``
===============================================  ==========================================================

What has a ``method`` and neither ``result`` nor ``error`` asks, as in JSON-RPC 2.0, and answers nothing.
Several messages may answer one request: a stream has its subscription's id in all of them.

**A type**, in the first of `TYPE_FIELDS` that the object has, where no id decides. Each answer takes the
oldest request that it fits and that has none yet. Types count by their words: ``joinRoom``, ``join-room`` and
``join_room`` are the same:

===============================================  ==========================================================
the request's type                               the answer's
===============================================  ==========================================================
a word of `PAIRS`, such as ``ping``, ``join``    its pair: ``pong``, ``joined``
the same as first or last word: ``join_room``    ``joined_room``, ``room_joined``
any ``x``, ``x_request``, ``get_x``              ``x`` and a word of `ANSWERING`: ``x_ok``, ``x_ack``
``x_request``, or ``get_x`` (of `GETTING`)       ``x``
===============================================  ==========================================================
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from wslab.wire.shown import printable

if TYPE_CHECKING:
    from wslab.wire.messages import Message

__all__ = [
    "ANSWERING",
    "GETTING",
    "OWN",
    "PAIRS",
    "POINTS_TO",
    "TYPE_FIELDS",
    "Body",
    "asking_types",
    "elided",
    "read_bodies",
]

TYPE_FIELDS = ("type", "action", "event", "op", "method", "command", "cmd", "kind")
"""Where a message says what it is; the first that holds a text counts."""
ANSWERING = frozenset(
    {
        *("ok", "ack", "reply", "resp", "response", "result", "success", "error", "failed"),
        *("accepted", "rejected", "denied", "confirmed", "done", "complete", "completed"),
    }
)
"""Last words of an answer's type."""
GETTING = ("get", "fetch", "list", "load", "read", "query", "request")
"""First words of a request's type that are answered with what follows them."""
PAIRS = {
    "ping": "pong",
    "hello": "welcome",
    "login": "logged_in",
    "logout": "logged_out",
    "auth": "authenticated",
    "authenticate": "authenticated",
    "connect": "connected",
    "disconnect": "disconnected",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "register": "registered",
    "join": "joined",
    "leave": "left",
    "enter": "entered",
    "open": "opened",
    "close": "closed",
    "start": "started",
    "stop": "stopped",
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "add": "added",
    "remove": "removed",
    "set": "changed",
    "publish": "published",
    "send": "sent",
    "echo": "echoed",
    "connection_init": "connection_ack",
    "request": "response reply result",
    "query": "result",
    "call": "result",
    "command": "result",
    "ask": "answer",
    "question": "answer",
}
"""A request's type, or the word of it that is replaced, and the answer's."""

OWN = ("id", "requestid", "reqid", "correlationid", "messageid", "msgid", "callid", "ref", "seq")
"""The fields, as they are compared, in which a request has its own id."""
POINTS_TO = {
    "id": ("id",),
    "requestid": ("requestid", "reqid", "id"),
    "reqid": ("reqid", "requestid", "id"),
    "correlationid": ("correlationid", "messageid", "msgid", "requestid", "id"),
    "messageid": ("messageid", "msgid"),
    "msgid": ("msgid", "messageid"),
    "callid": ("callid", "id"),
    "ref": ("ref", "id"),
    "replyto": OWN,
    "inreplyto": OWN,
    "responseto": OWN,
    "ack": ("seq", "id", "messageid", "msgid"),
    "seq": ("seq",),
}
"""For each field of an answer the request's fields whose value it repeats."""
_MAX_BODY = 2**20  # bytes of JSON that are looked into
_MAX_BATCH = 100  # objects of one array
_MAX_TEXT = 200  # characters of an id or a type
_SHOWN = 40

_ASKED_BY: dict[str, list[str]] = {}
for _asks, _answers in PAIRS.items():
    for _answer in _answers.split():
        _ASKED_BY.setdefault(_answer, []).append(_asks)


class Body(NamedTuple):
    """What one JSON object says about itself."""

    ids: list[tuple[str, str, Any]]  # the field's name as written, as it is compared, and its value
    field: str
    written: str  # the type
    kind: str  # the same as it is compared, "" where there is none
    asks: bool  # it cannot be an answer
    answers: bool  # it cannot be a request


def elided(text: str) -> str:
    """The beginning of an id or a type, for a person: it is hostile text."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
    return printable(shown)


def read_bodies(message: Message) -> list[Body]:
    """What the JSON objects in a message say about themselves; nothing for anything else."""
    if not 2 < len(message.content) <= _MAX_BODY:  # noqa: PLR2004 - "{}" says nothing
        return []
    value = message.json
    objects = value[:_MAX_BATCH] if isinstance(value, list) else [value]
    return [_read(body) for body in objects if isinstance(body, dict)]


def _read(body: dict[str, Any]) -> Body:
    ids = []
    for name, value in body.items():
        field_name = _field_name(name) if len(name) <= _SHOWN else ""
        if field_name and _is_id(value):
            ids.append((name, field_name, value))
    type_field, written = next(
        ((name, body[name]) for name in TYPE_FIELDS if isinstance(body.get(name), str)), ("", "")
    )
    kind = _kind(written) if len(written) <= _MAX_TEXT else ""
    outcome = "result" in body or "error" in body
    asks = "method" in body and not outcome
    return Body(ids, type_field, written, kind, asks, outcome and "method" not in body)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _MAX_TEXT
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


@lru_cache(maxsize=1024)
def _field_name(written: str) -> str:
    """A field's name as it is compared; "" where that is none of an id."""
    name = written.lower().replace("_", "").replace("-", "")
    return name if name in POINTS_TO else ""


@lru_cache(maxsize=1024)
def _kind(written: str) -> str:
    """A type as it is compared: in lower case, its words joined by ``_``.

    Example:
        >>> _kind("joinRoom"), _kind("chat.join-room"), _kind("PING")
        ('join_room', 'chat_join_room', 'ping')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", written)
    return re.sub(r"[\W_]+", "_", words.lower()).strip("_")


@lru_cache(maxsize=1024)
def asking_types(kind: str) -> tuple[str, ...]:
    """The types of requests that an answer of type `kind` may belong to.

    Example:
        >>> asking_types("pong")[0], "join_room" in asking_types("room_joined")
        ('ping', True)
    """
    words = kind.split("_")
    found = list(_ASKED_BY.get(kind, ()))
    first, last, rest, base = words[0], words[-1], words[1:], words[:-1]
    for asks in _ASKED_BY.get(last, ()) if base else ():
        found += ["_".join([*base, asks]), "_".join([asks, *base])]
    for asks in _ASKED_BY.get(first, ()) if rest else ():
        found.append("_".join([asks, *rest]))
    if kind.endswith(("logged_in", "logged_out")):
        found += [kind.replace("logged_in", "login").replace("logged_out", "logout")]
    subjects = [kind]
    if last in ANSWERING and base:
        subjects.append("_".join(base))
        found.append(subjects[-1])
    for subject in subjects:
        found.append(f"{subject}_request")
        found += [f"{verb}_{subject}" for verb in GETTING]
    return tuple(dict.fromkeys(each for each in found if each != kind))

"""The words and symbols a filter (`wslab.wire.query.language`) is made of."""

from __future__ import annotations

import re

from wslab.wire.query.conditions import ORDER

__all__ = ["FIELD", "JOINING", "NAMED", "OPERATORS", "SPACE", "STRING", "SYMBOLS", "WORD"]

SPACE = re.compile(r"\s*")
WORD = re.compile(r"""[^\s()&|!<>=~{},"']+""")
FIELD = re.compile(r"""[A-Za-z_]\w*(?:\.[\w$@.-]*|\[(?:"(?:[^"\\]|\\.)*"|\d*)\]?)*""", re.ASCII | re.DOTALL)
STRING = re.compile(r""""((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'""", re.DOTALL)
SYMBOLS = re.compile(r"==|!=|<=|>=|&&|\|\||[<>!~(){},]")
NAMED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "~": "matches"}
"""Operators that are written in another way, too."""
JOINING = {"and": "&&", "or": "||", "not": "!"}
_EQUAL = ("==", "!=", "in")
OPERATORS = {
    "number": (*_EQUAL, *ORDER),
    "opcode": (*_EQUAL, *ORDER),
    "flag": _EQUAL,
    "connection": _EQUAL,
    "direction": _EQUAL,
    "text": (*_EQUAL, "contains", "matches"),
    "bytes": (*_EQUAL, "contains"),
    "json": (*_EQUAL, *ORDER, "contains", "matches"),
}
"""What may stand behind a field of each type."""

"""`jsonable_encoder` gives what FastAPI's gives."""

import datetime as dt
import enum
import ipaddress
import json
import re
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from uuid import UUID

import fastapi.encoders
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, Field, NameEmail, SecretStr, model_serializer
from pydantic_core import PydanticUndefined

from wslab.asgi.encoders import NotEncodableError, decimal_encoder, isoformat, jsonable_encoder


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Model(BaseModel):
    name: str = Field("n", alias="theName")
    at: dt.datetime = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    note: str | None = None
    blob: bytes = b"x"
    model_config = {"populate_by_name": True}


class Odd(BaseModel):
    @model_serializer
    def serialize(self):
        return {"a": None, "b": [1]}


@dataclass
class Point:
    x: int = 1
    when: dt.date = dt.date(2026, 1, 2)
    tags: set = field(default_factory=lambda: {"t"})
    inner: Model = field(default_factory=Model)


class Mapped:
    def keys(self):
        return ["a"]

    def __getitem__(self, key):
        return {1}


class Plain:
    def __init__(self):
        self.a = Colour.RED
        self._sa_state = "internal"


def values():
    return {
        "none": None,
        "bool": True,
        "text": "é",
        "nan": 1.5,
        "enum": Colour.RED,
        "int enum": Level.HIGH,
        "model": Model(),
        "model set": Model(theName="z", note="y"),
        "odd": Odd(),
        "dataclass": Point(),
        "datetime": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        "date": dt.date(2026, 1, 2),
        "time": dt.time(3, 4),
        "timedelta": dt.timedelta(days=1, milliseconds=5),
        "uuid": UUID(int=7),
        "set": {1},
        "frozenset": frozenset({"a"}),
        "tuple": (1, (2, b"x")),
        "deque": deque([Colour.RED]),
        "bytes": b"abc",
        "decimal": [Decimal(7), Decimal("7.50"), Decimal("1E3")],
        "path": PurePosixPath("/a/b"),
        "ip": [
            ipaddress.ip_address("::1"),
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_interface("1.2.3.4/8"),
        ],
        "pattern": re.compile("a+"),
        "secret": SecretStr("s"),
        "url": AnyUrl("http://x/y"),
        "email": NameEmail("ada", "ada@example.org"),
        "undefined": PydanticUndefined,
        "mapping": Mapped(),
        "object": Plain(),
        "dict": {Colour.RED: 1, dt.date(2026, 1, 2): None, "_sa_x": 1, "a": {"b": Model()}, 3: {4}},
        "list of models": [Model(), Point()],
    }


OPTIONS = {
    "plain": {},
    "include": {"include": {"a", "name", "x"}},
    "include list": {"include": ["a", "name", "x"]},
    "exclude": {"exclude": {"a", "name", "x"}},
    "exclude nested": {"exclude": {"inner": {"at"}, "a": ...}},
    "no alias": {"by_alias": False},
    "unset": {"exclude_unset": True},
    "defaults": {"exclude_defaults": True},
    "no None": {"exclude_none": True},
    "custom": {"custom_encoder": {dt.date: lambda d: d.year, str: str.upper, BaseModel: lambda _: "model"}},
    "sqlalchemy": {"sqlalchemy_safe": False},
}


@pytest.mark.parametrize("name", values())
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_results_are_fastapis(name, options):
    expected = fastapi.encoders.jsonable_encoder(values()[name], **options)
    got = jsonable_encoder(values()[name], **options)
    assert repr(got) == repr(expected)


@pytest.mark.filterwarnings("ignore:The `Color` class")
def test_a_colour_is_its_text():
    from pydantic.color import Color

    assert jsonable_encoder({"c": Color("#f00")}) == fastapi.encoders.jsonable_encoder({"c": Color("#f00")})


def test_a_generator_is_a_list():
    assert jsonable_encoder(n for n in (Decimal(1), b"a")) == [1, "a"]


SCALARS = [
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([*Colour, *Level]),
]
JSON_LIKE = st.recursive(
    st.one_of(SCALARS),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.uuids(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(JSON_LIKE, st.booleans())
def test_any_nesting_of_such_values_agrees(value, exclude_none):
    expected = fastapi.encoders.jsonable_encoder(value, exclude_none=exclude_none)
    got = jsonable_encoder(value, exclude_none=exclude_none)
    assert repr(got) == repr(expected)
    assert json.dumps(got) == json.dumps(expected)


@pytest.mark.parametrize("value", [object(), 3j, {"a": [object()]}])
def test_what_has_no_form_in_json_is_a_value_error_as_in_fastapi(value):
    with pytest.raises(ValueError):
        fastapi.encoders.jsonable_encoder(value)
    with pytest.raises(ValueError, match="Expected a value with a form in JSON, got") as caught:
        jsonable_encoder(value)
    assert isinstance(caught.value, NotEncodableError)


@pytest.mark.parametrize("text", ["1", "1.0", "-3E2", "NaN", "Infinity"])
def test_decimals_are_fastapis(text):
    assert repr(decimal_encoder(Decimal(text))) == repr(fastapi.encoders.decimal_encoder(Decimal(text)))


def test_isoformat_is_the_standards():
    assert isoformat(dt.date(2026, 1, 2)) == "2026-01-02"

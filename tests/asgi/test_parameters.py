import enum
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, Json
from starlette.requests import HTTPConnection

from wslab.asgi.lookup import MISSING
from wslab.asgi.parameters import compile_parameter
from wslab.asgi.params import INVALID, Cookie, Header, Path, Query
from wslab.asgi.signatures import read_signature
from wslab.errors import EndpointError


class Colour(enum.Enum):
    RED = "red"


class Model(BaseModel):
    size: int


@dataclass
class Data:
    size: int


class Typed(TypedDict):
    size: int


class Row(NamedTuple):
    size: int


class Opaque: ...


def compiled(annotation=..., marker=None, default=..., variables=(), name="value"):
    annotated = {} if annotation is ... else {name: annotation}
    defaults = {} if default is ... else {name: default}
    source = f"def function({name}{'=defaults[name]' if defaults else ''}): ..."
    namespace = {"defaults": defaults, "name": name}
    exec(source, namespace)  # the only way to choose a parameter's name and default
    function = namespace["function"]
    function.__annotations__ = annotated
    (argument,) = read_signature(function)
    return compile_parameter(argument, marker, variables, "`function`")


def connection(query="", headers=(), path=None):
    scope = {
        "type": "websocket",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "path_params": path or {},
    }
    return HTTPConnection(scope)


def read(parameter, **given):
    errors = []
    value = parameter.read(connection(**given), errors)
    return value, [(error["type"], error["loc"]) for error in errors]


@pytest.mark.parametrize(
    ("annotation", "query", "expected"),
    [
        (int, "value=7", 7),
        (float, "value=1.5", 1.5),
        (bool, "value=on", True),
        (str, "value=", ""),
        (str, "value=a&value=b", "b"),
        (..., "value=x", "x"),
        (Any, "value=x", "x"),
        (int | None, "value=7", 7),
        (Optional[int], "value=7", 7),  # noqa: UP045 - the older way of writing it must work too
        (Colour, "value=red", Colour.RED),
        (Literal["a", "b"], "value=a", "a"),
        (date, "value=2024-02-29", date(2024, 2, 29)),
        (uuid.UUID, "value=" + "0" * 32, uuid.UUID(int=0)),
        (list[int], "value=1&value=2", [1, 2]),
        (list[int] | None, "value=1", [1]),
        (list, "value=1&value=2", ["1", "2"]),
        (set[int], "value=1&value=1", {1}),
        (frozenset[int], "value=1", frozenset({1})),
        (tuple[int, ...], "value=1&value=2", (1, 2)),
        (tuple[int, str], "value=1&value=2", (1, "2")),
        (Sequence[int], "value=1", [1]),
        (list[Colour], "value=red", [Colour.RED]),
        (Json[dict[str, int]], "value=%7B%22a%22%3A1%7D", {"a": 1}),
        (bytes, "value=x", b"x"),
        (Annotated[int, Field(ge=3)], "value=3", 3),
    ],
)
def test_a_value_is_read_from_the_query(annotation, query, expected):
    assert read(compiled(annotation), query=query) == (expected, [])


@pytest.mark.parametrize(
    ("annotation", "query", "error"),
    [
        (int, "", ("missing", ("query", "value"))),
        (list[int], "", ("missing", ("query", "value"))),
        (int, "value=x", ("int_parsing", ("query", "value"))),
        (bool, "value=2", ("bool_parsing", ("query", "value"))),
        (list[int], "value=1&value=x", ("int_parsing", ("query", "value", 1))),
        (Annotated[int, Field(ge=3)], "value=2", ("greater_than_equal", ("query", "value"))),
        (Colour, "value=blue", ("enum", ("query", "value"))),
    ],
)
def test_a_value_that_does_not_fit_is_located(annotation, query, error):
    assert read(compiled(annotation), query=query) == (INVALID, [error])


def test_every_error_of_a_list_is_reported():
    _, errors = read(compiled(list[int]), query="value=x&value=1&value=y")
    assert [location for _, location in errors] == [("query", "value", 0), ("query", "value", 2)]


@pytest.mark.parametrize(
    ("constraints", "good", "bad"),
    [
        ({"ge": 2}, "2", "1"),
        ({"gt": 2}, "3", "2"),
        ({"le": 2}, "2", "3"),
        ({"lt": 2}, "1", "2"),
        ({"multiple_of": 5}, "10", "11"),
    ],
)
def test_numbers_are_bounded(constraints, good, bad):
    parameter = compiled(int, Query(**constraints))
    assert read(parameter, query=f"value={good}") == (int(good), [])
    assert read(parameter, query=f"value={bad}")[0] is INVALID


@pytest.mark.parametrize(
    ("constraints", "good", "bad"),
    [({"min_length": 2}, "ab", "a"), ({"max_length": 1}, "a", "ab"), ({"pattern": "^a+$"}, "aa", "b")],
)
def test_texts_are_bounded(constraints, good, bad):
    parameter = compiled(str, Query(**constraints))
    assert read(parameter, query=f"value={good}") == (good, [])
    assert read(parameter, query=f"value={bad}")[0] is INVALID


def test_strict_converts_nothing():
    assert read(compiled(int, Query(strict=True)), query="value=1")[0] is INVALID


def test_constraints_of_pydantic_and_of_the_marker_add_up():
    parameter = compiled(Annotated[int, Field(ge=2)], Query(le=4))
    assert [read(parameter, query=f"value={n}")[0] for n in (1, 3, 5)] == [INVALID, 3, INVALID]


def test_a_list_is_bounded_by_its_length():
    parameter = compiled(list[int], Query(max_length=1))
    assert read(parameter, query="value=1&value=2")[0] is INVALID


def test_a_default_is_used_as_it_is():
    assert read(compiled(int, default="seven")) == ("seven", [])  # FastAPI does not validate it either
    assert read(compiled(int, Query(7))) == (7, [])
    assert read(compiled(int | None, default=None)) == (None, [])
    assert read(compiled(int, default=7), query="value=8") == (8, [])


def test_a_mutable_default_is_not_shared():
    parameter = compiled(list[int], Query([1]))
    first, _ = read(parameter)
    first.append(2)
    assert read(parameter) == ([1], [])


def test_a_default_factory_is_called_each_time():
    numbers = iter(range(9))
    parameter = compiled(int, Query(default_factory=lambda: next(numbers)))
    assert [read(parameter)[0], read(parameter)[0]] == [0, 1]


def test_an_alias_is_the_name_on_the_wire():
    parameter = compiled(str, Query(alias="item-query"))
    assert read(parameter, query="item-query=x") == ("x", [])
    assert read(parameter, query="value=x") == (INVALID, [("missing", ("query", "item-query"))])


def test_a_variable_of_the_path_is_read_from_the_path():
    assert read(compiled(int, variables=["value"]), path={"value": "7"}) == (7, [])
    assert read(compiled(int, Path(), variables=["value"]), path={"value": 7}) == (7, [])
    parameter = compiled(int, Path(alias="number", ge=1), variables=["number"])
    assert read(parameter, path={"number": "1"}) == (1, [])
    assert read(parameter, path={"number": "0"}) == (INVALID, [("greater_than_equal", ("path", "number"))])


def test_the_default_of_a_variable_of_the_path_has_no_effect():
    assert compiled(int, default=3, variables=["value"]).declared.required


def test_headers_and_cookies_are_read():
    headers = [("X-Token", "a"), ("X-Token", "b"), ("Cookie", "session=abc; n=7")]
    assert read(compiled(str, Header(), name="x_token"), headers=headers) == ("a", [])
    assert read(compiled(list[str], Header(), name="x_token"), headers=headers) == (["a", "b"], [])
    assert read(compiled(str, Cookie(), name="session"), headers=headers) == ("abc", [])
    assert read(compiled(int, Cookie(), name="n"), headers=headers) == (7, [])
    assert read(compiled(int, Header(), name="user_agent")) == (
        INVALID,
        [("missing", ("header", "user-agent"))],
    )
    assert read(compiled(int, Cookie(), name="n")) == (INVALID, [("missing", ("cookie", "n"))])


def test_a_list_in_a_cookie_is_invalid_rather_than_split_into_letters():
    assert read(compiled(list[str], Cookie(), name="n"), headers=[("Cookie", "n=ab")])[0] is INVALID


def test_a_value_of_unreasonable_size_is_an_error_of_the_client():
    assert read(compiled(int), query="value=" + "9" * 5000)[0] is INVALID


@pytest.mark.parametrize("annotation", [Model, Data, Typed, dict, dict[str, int], list[Model], Model | None])
def test_an_object_does_not_fit_into_a_handshake(annotation):
    with pytest.raises(EndpointError, match=r"`value`.*a query cannot carry.*receive_json.*Depends"):
        compiled(annotation)


@pytest.mark.parametrize("annotation", [list[list[int]], dict[str, int]])
def test_nested_collections_do_not_fit_either(annotation):
    with pytest.raises(EndpointError, match="a header cannot carry"):
        compiled(annotation, Header())


def test_a_list_does_not_fit_into_the_path():
    with pytest.raises(EndpointError, match="a path cannot carry"):
        compiled(list[int], variables=["value"])


def test_a_named_tuple_is_a_list_on_the_wire():
    assert read(compiled(Row), query="value=3") == (Row(3), [])


@pytest.mark.parametrize(
    ("annotation", "marker"),
    [(Opaque, None), (list[Opaque], None), (3, None), (str, Query(pattern="("))],
    ids=["class", "list of class", "no type", "pattern"],
)
def test_what_pydantic_cannot_validate_is_named(annotation, marker):
    with pytest.raises(EndpointError, match=r"`value` of `function`.*pydantic cannot validate.*Depends"):
        compiled(annotation, marker)


def test_path_without_a_variable_is_named_with_what_there_is():
    with pytest.raises(EndpointError, match=r"no variable \{value\}; it has: \{room\}"):
        compiled(str, Path(), variables=["room"])
    with pytest.raises(EndpointError, match="it has: none"):
        compiled(str, Path())


@pytest.mark.parametrize("marker", [Query(), Header(), Cookie()])
def test_a_variable_of_the_path_cannot_come_from_elsewhere(marker):
    with pytest.raises(EndpointError, match="name of a variable of the path"):
        compiled(str, marker, variables=["value"])


def test_pydantics_field_as_a_default_is_told_where_it_belongs():
    with pytest.raises(EndpointError, match=r"`value`.*Field\(\) as its default.*Annotated"):
        compiled(int, default=Field(3))


def test_a_field_in_the_annotation_supplements_the_marker():
    parameter = compiled(
        Annotated[int, Field(alias="n", title="T", description="D", validate_default=True, ge=2)],
        Query("x", description="marker"),
    )
    assert (parameter.key, parameter.declared.title, parameter.declared.description) == ("n", "T", "marker")
    assert read(parameter, query="n=3") == (3, [])
    assert read(parameter, query="n=1") == (INVALID, [("greater_than_equal", ("query", "n"))])
    assert read(parameter) == (INVALID, [("int_parsing", ("query", "n"))])
    factory = compiled(Annotated[list[int], Field(default_factory=lambda: [5])], Query())
    assert read(factory) == ([5], [])


def test_a_choice_of_names_for_a_variable_of_the_path_is_made_once():
    parameter = compiled(str, Path(validation_alias=AliasChoices("a", "room")), variables=["room"])
    assert parameter.keys == ("room",)
    assert read(parameter, path={"room": "blue"}) == ("blue", [])
    with pytest.raises(EndpointError, match=r"no variable \{a\}; it has: \{x\}"):
        compiled(str, Path(validation_alias=AliasChoices("a", "b")), variables=["x"])


@pytest.mark.parametrize("annotation", [Model, Model | None])
@pytest.mark.parametrize("marker", [Query(), Header(), Cookie()])
def test_a_model_is_read_field_by_field(annotation, marker):
    parameter = compiled(annotation, marker)
    assert [field.key for field in parameter.fields] == ["size"]
    headers = [("size", "7"), ("Cookie", "size=7")]
    assert read(parameter, query="size=7", headers=headers) == (Model(size=7), [])
    source = parameter.declared.source
    _, errors = read(parameter, query="size=x", headers=[("size", "x"), ("Cookie", "size=x")])
    assert errors == [("int_parsing", (source, "size"))]


def test_other_values_have_no_fields():
    assert compiled(int).fields == ()


def test_a_model_needs_a_marker_and_the_path_carries_none():
    with pytest.raises(EndpointError, match="a query cannot carry"):
        compiled(Model)
    with pytest.raises(EndpointError, match="a path cannot carry"):
        compiled(Model, Path(), variables=["value"])


def test_what_documents_need_is_in_the_schema():
    parameter = compiled(int, Query(examples=[3], deprecated=True, json_schema_extra={"x-unit": "ms"}, ge=1))
    schema = parameter.adapter.json_schema()
    assert schema == {"type": "integer", "minimum": 1, "examples": [3], "deprecated": True, "x-unit": "ms"}


def test_a_type_in_annotated_inside_of_a_list_is_looked_through():
    assert read(compiled(list[Annotated[int, Field(ge=3)]]), query="value=3&value=4") == ([3, 4], [])


def test_the_stand_in_for_what_was_not_sent_says_so():
    assert repr(MISSING) == "MISSING"


# --- properties

NAMES = st.sampled_from(["size", "tags", "other", "more"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


class Everything(BaseModel):
    model_config = ConfigDict(extra="allow")
    size: str = ""
    tags: list[str] = []


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=8))
def test_a_model_that_takes_everything_loses_nothing(pairs):
    value, errors = read(compiled(Everything, Query()), query=urlencode(pairs))
    assert errors == []
    texts = {name: [text for each, text in pairs if each == name] for name, _ in pairs}
    assert value.tags == texts.get("tags", [])
    assert value.size == texts.get("size", [""])[-1]
    for name in texts.keys() - {"size", "tags"}:
        found = value.model_extra[name]
        assert found == (texts[name] if len(texts[name]) > 1 else texts[name][0])


@given(st.permutations(["a", "b", "c"]), st.sets(st.sampled_from(["a", "b", "c"])))
def test_of_several_names_the_first_that_was_sent_is_read(order, sent):
    parameter = compiled(str, Query("default", validation_alias=AliasChoices(*order)))
    expected = next((name for name in order if name in sent), "default")
    assert read(parameter, query="&".join(f"{name}={name}" for name in sent)) == (expected, [])


@given(st.integers(), st.integers(), st.integers())
def test_a_bound_holds_for_every_number(low, high, value):
    parameter = compiled(int, Query(ge=low, le=high))
    found, errors = read(parameter, query=f"value={value}")
    assert (found == value) == (low <= value <= high)
    assert (found is INVALID) == bool(errors)

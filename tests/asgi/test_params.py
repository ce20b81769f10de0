import dataclasses
import inspect

import fastapi
import pytest
from pydantic import AliasChoices, AliasPath, Field

import wslab.asgi
from wslab.asgi import params
from wslab.asgi.dependencies import Security
from wslab.asgi.params import (
    INVALID,
    Constraints,
    Cookie,
    CookieParam,
    Header,
    HeaderParam,
    Options,
    Path,
    PathParam,
    Query,
    QueryParam,
)
from wslab.errors import EndpointError


@pytest.mark.parametrize(
    ("marker", "kind"), [(Path, PathParam), (Query, QueryParam), (Header, HeaderParam), (Cookie, CookieParam)]
)
def test_a_marker_keeps_what_was_said(marker, kind):
    declared = marker(alias="a", title="t", description="d", min_length=2, pattern="x+")
    assert isinstance(declared, kind)
    assert (declared.alias, declared.title, declared.description) == ("a", "t", "d")
    assert declared.constraints == {"min_length": 2, "pattern": "x+"}
    assert declared.required
    with pytest.raises(dataclasses.FrozenInstanceError):
        declared.alias = "b"


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_a_default_makes_a_value_optional(marker):
    assert not marker(None).required
    assert marker(None).default is None
    assert not marker(default_factory=list).required
    assert marker(...).required


@pytest.mark.parametrize("marker", [Query, Header, Cookie])
def test_two_defaults_are_one_too_many(marker):
    with pytest.raises(EndpointError, match="both"):
        marker(1, default_factory=int)


def test_a_path_variable_has_no_default():
    assert Path(...).required
    with pytest.raises(EndpointError, match="always there"):
        Path("x")


@pytest.mark.parametrize("marker", [Path, Query, Header, Cookie])
def test_a_marker_type_checks_as_the_default_of_anything(marker):
    assert marker.__annotations__["return"] == "Any"


@pytest.mark.parametrize("marker", [Path, Query, Header, Cookie])
def test_a_misspelt_constraint_is_named(marker):
    with pytest.raises(EndpointError, match=r"'min_lenght'.*min_length"):
        marker(min_lenght=2)


def test_a_constraint_of_none_is_none():
    assert Query(ge=None, le=3).constraints == {"le": 3}


def test_a_header_reads_dashes_for_underscores():
    assert Header().key("user_agent") == "user-agent"
    assert Header(convert_underscores=False).key("user_agent") == "user_agent"
    assert Header(alias="X_A").key("user_agent") == "X_A"
    assert Cookie().key("user_agent") == "user_agent"


def test_every_constraint_is_one_of_pydantics():
    assert set(Constraints.__annotations__) <= set(inspect.signature(Field).parameters)


def test_the_stand_in_for_a_missing_value_says_so():
    assert repr(INVALID) == "INVALID"


def test_older_names_still_work_and_say_so():
    with pytest.warns(DeprecationWarning, match=r"Query\(regex=...\) is now pattern=") as warned:
        declared = Query("x", regex="^x$")
    assert declared.constraints == {"pattern": "^x$"}
    assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="examples="):
        assert Header(example="x").documentation == {"examples": ["x"]}


def test_what_is_for_documents_is_kept_apart():
    declared = Cookie(deprecated=True, examples=[1], include_in_schema=False, serialization_alias="s", ge=1)
    assert declared.documentation == {"deprecated": True, "examples": [1], "include_in_schema": False}
    assert declared.constraints == {"ge": 1}


@pytest.mark.parametrize(
    ("marker", "keys"),
    [
        (Query(), ("a_b",)),
        (Query(alias="x"), ("x",)),
        (Query(alias="x", validation_alias="y"), ("y",)),
        (Query(validation_alias=AliasChoices("y", "z")), ("y", "z")),
        (Query(validation_alias=AliasPath("y", 0)), ("a_b",)),
        (Query(alias="x", validation_alias=AliasChoices("y", AliasPath("z", 0))), ("x",)),
        (Header(), ("a-b",)),
        (Header(validation_alias=AliasChoices("a_b", "c")), ("a_b", "c")),
    ],
)
def test_the_names_on_the_wire(marker, keys):
    assert marker.keys("a_b") == keys
    assert marker.key("a_b") == keys[0]


def test_annotations_and_checks_can_name_the_markers_of_dependencies():
    assert isinstance(wslab.asgi.Depends(len), params.Depends)
    assert isinstance(Security(len, scopes=["a"]), params.Security)


def test_fastapis_keywords_are_known():
    for ours, theirs in ((Path, fastapi.Path), (Query, fastapi.Query), (Header, fastapi.Header)):
        own = set(inspect.signature(ours).parameters) - {"options"}
        missing = set(inspect.signature(theirs).parameters) - own - set(Options.__annotations__)
        assert missing <= {"default_factory"}, ours  # of Path(), where it has no effect

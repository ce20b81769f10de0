import dataclasses
import inspect

import pytest
from pydantic import Field

from wslab.asgi.params import (
    INVALID,
    Constraints,
    Cookie,
    CookieParam,
    Header,
    HeaderParam,
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

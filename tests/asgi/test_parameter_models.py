"""Models that are filled from the query, the headers or the cookies: the names they go by on the wire."""

from typing import Annotated

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from starlette.datastructures import Headers, QueryParams

from wslab.asgi import App, Header, Query, WebSocket
from wslab.asgi.lookup import MISSING
from wslab.asgi.parameter_models import ModelReader


def reader(model, marker=None, *, optional=False):
    return ModelReader(
        model, marker or Query(), optional=optional, is_repeated=lambda annotation: annotation is list
    )


def collected(model, query, **options):
    return reader(model, **options).collect(QueryParams(query))[0]


class ByAlias(BaseModel):
    order_by: str = Field("none", alias="orderBy")


class Populated(ByAlias):
    model_config = ConfigDict(populate_by_name=True)


class ByName(ByAlias):
    model_config = ConfigDict(validate_by_name=True)


class NameAfterAll(ByAlias):
    model_config = ConfigDict(populate_by_name=False, validate_by_name=True)


class OnlyByName(ByAlias):
    model_config = ConfigDict(validate_by_alias=False, validate_by_name=True)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (ByAlias, ["orderBy"]),
        (Populated, ["orderBy", "order_by"]),
        (ByName, ["orderBy", "order_by"]),
        (NameAfterAll, ["orderBy", "order_by"]),
        (OnlyByName, ["order_by"]),
    ],
)
def test_a_field_goes_by_its_alias_its_name_or_both(attempt, model, names):
    assert [on_wire for _, on_wire in reader(model).fields[0].aliases] == names
    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket, value: Annotated[model, Query()]):
        await ws.accept()
        await ws.send_json(value.order_by)

    for name in ("orderBy", "order_by"):
        assert attempt(app, f"/?{name}=new").messages == (("new",) if name in names else ("none",))
    if len(names) == 2:
        assert attempt(app, "/?order_by=second&orderBy=first").messages == ("first",)


def test_a_name_that_is_one_of_the_choices_already_keeps_its_place():
    class Choices(BaseModel):
        model_config = ConfigDict(populate_by_name=True)
        limit: int = Field(validation_alias=AliasChoices("limit", "max"))

    assert [on_wire for _, on_wire in reader(Choices).fields[0].aliases] == ["limit", "max"]


def test_a_name_that_the_field_does_not_go_by_is_one_of_the_others():
    class Strict(OnlyByName):
        model_config = ConfigDict(extra="forbid")

    assert collected(ByAlias, "order_by=x") == {"order_by": "x"}
    assert collected(Strict, "orderBy=x&order_by=y") == {"orderBy": "x", "order_by": "y"}


class Tagged(BaseModel):
    tag: str = Field("none", alias="X-Tag")


class TaggedAndClosed(Tagged):
    model_config = ConfigDict(extra="forbid")


@pytest.mark.parametrize("sent", ["x-tag", "X-Tag", "X-TAG"])
def test_the_case_of_a_header_does_not_matter(attempt, sent):
    headers = Headers({sent: "a"})
    found = reader(Tagged, Header()).collect(headers)
    assert found == ({"X-Tag": "a"}, {})  # once: the header as it came is no second value beside it
    # Nor is it missing, where the model may be.
    assert reader(Tagged, Header(None), optional=True).collect(headers) == found


def test_nothing_sent_is_none_only_where_that_is_allowed():
    for headers in (Headers({}), Headers({"x-other": "a"})):
        assert reader(Tagged, Header(None), optional=True).collect(headers)[0] is MISSING
        assert reader(Tagged, Header()).collect(headers)[0] is not MISSING


def test_a_closed_model_takes_a_header_whose_alias_has_capitals():
    found, _ = reader(TaggedAndClosed, Header()).collect(Headers({"X-Tag": "a"}))
    assert TaggedAndClosed.model_validate(found).tag == "a"


def test_an_underscore_is_no_second_way_to_send_a_header():
    class Agent(BaseModel):
        user_agent: str = "none"

    headers = Headers({"user-agent": "a", "user_agent": "b"})
    assert reader(Agent, Header()).collect(headers) == ({"user_agent": "a"}, {"user_agent": "user-agent"})

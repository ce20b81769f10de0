import enum
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path as File
from typing import Annotated, Literal

from jsonschema import Draft7Validator
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.routing import WebSocketRoute as StarletteRoute
from starlette.testclient import TestClient
from typing_extensions import TypeAliasType

from wslab.asgi import App, Cookie, Depends, Header, Path, Query, Security, WebSocket
from wslab.asgi.asyncapi.page import page
from wslab.asgi.asyncapi.schemas import Schemas, name_for, variants
from wslab.asgi.endpoints import WebSocketEndpoint
from wslab.asgi.routing import APIRouter
from wslab.asgi.security import (
    APIKeyCookie,
    APIKeyHeader,
    APIKeyQuery,
    HTTPBasic,
    HTTPBearer,
    HTTPDigest,
    OAuth2AuthorizationCodeBearer,
    OAuth2PasswordBearer,
    OpenIdConnect,
    WebSocketBearer,
)

SCHEMA = Draft7Validator(json.loads((File(__file__).parent / "data/asyncapi-3.0.0.json").read_text()))


def document_of(app, **options):
    """The document, which is valid, and of what JSON knows."""
    made = app.asyncapi(**options)
    assert [error.message for error in SCHEMA.iter_errors(made)] == []
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert_references_exist(made, made)
    return made


def assert_references_exist(part, whole):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            found = whole
            for step in part["$ref"].removeprefix("#/").split("/"):
                found = found[step]
        for each in part.values():
            assert_references_exist(each, whole)
    elif isinstance(part, list):
        for each in part:
            assert_references_exist(each, whole)


def test_the_schema_refuses_what_is_no_document():
    assert list(SCHEMA.iter_errors({"asyncapi": "3.0.0", "info": {"title": "no version"}}))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    x: int
    beside: "Place | None" = None


class Join(BaseModel):
    """Enter a room.

    More about it.
    """

    type: Literal["join"]
    at: Place


class Say(BaseModel):
    type: Literal["say"]
    text: str = Field(max_length=80, examples=["hello"])
    pair: tuple[int, str] = (1, "a")


class Said(BaseModel):
    colour: Colour
    by: dict[str, Place]
    what: Annotated[Join | Say, Field(discriminator="type")]


ClientMessage = Annotated[Join | Say, Field(discriminator="type")]


async def session_id(session: str = Cookie(), theme: str = Cookie("light")): ...


def example():
    app = App(title="Rooms", version="2.1", description="Talk.")

    @app.websocket("/rooms/{room}/{colour}/{number:int}", receives=ClientMessage, sends=[Said, str])
    async def room(  # noqa: PLR0917 - one of each kind
        ws: WebSocket,
        room: str,
        colour: Colour,
        number: int = Path(description="Which one."),
        limit: int = Query(10, ge=1, description="How many."),
        tag: list[str] = Query(),
        user_agent: str = Header(),
        x=Depends(session_id),
    ):
        """Talk in a room.

        As long as you like.
        """

    return app


def test_a_route_is_a_channel_with_what_its_handshake_carries():
    made = document_of(example())
    assert made["asyncapi"] == "3.0.0"
    assert made["info"] == {"title": "Rooms", "version": "2.1", "description": "Talk."}
    assert "servers" not in made
    (channel,) = made["channels"].values()
    assert channel["address"] == "/rooms/{room}/{colour}/{number}"
    assert channel["title"] == "room"
    assert channel["summary"] == "Talk in a room."
    assert channel["description"] == "Talk in a room.\n\nAs long as you like."
    assert channel["parameters"] == {
        "room": {},
        "colour": {"enum": ["red", "blue"]},
        "number": {"description": "Which one. Type: integer."},
    }
    binding = channel["bindings"]["ws"]
    assert (binding["method"], binding["bindingVersion"]) == ("GET", "0.1.0")
    assert binding["query"] == {
        "type": "object",
        "properties": {
            "limit": {"type": "integer", "minimum": 1, "description": "How many.", "default": 10},
            "tag": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["tag"],
    }
    assert binding["headers"] == {
        "type": "object",
        "properties": {
            "user-agent": {"type": "string"},
            "Cookie": {"type": "string", "description": "session=…; theme=… (optional)"},
        },
        "required": ["user-agent", "Cookie"],
    }


def test_messages_are_the_members_of_the_union_one_by_one():
    made = document_of(example())
    ((name, channel),) = made["channels"].items()
    assert list(channel["messages"]) == ["Join", "Say", "Said", "str"]
    assert channel["messages"]["Join"] == {
        "name": "Join",
        "title": "Join",
        "summary": "Enter a room.",
        "payload": {"$ref": "#/components/schemas/Join-Input"},  # in what is sent, defaults are always there
    }
    assert channel["messages"]["str"] == {"name": "str", "title": "str", "payload": {"type": "string"}}
    operations = {each["action"]: each for each in made["operations"].values()}
    assert [each["$ref"].rpartition("/")[2] for each in operations["receive"]["messages"]] == ["Join", "Say"]
    assert [each["$ref"].rpartition("/")[2] for each in operations["send"]["messages"]] == ["Said", "str"]
    assert operations["send"]["channel"] == {"$ref": f"#/channels/{name}"}
    schemas = made["components"]["schemas"]
    assert schemas["Join-Input"]["properties"]["type"]["const"] == "join"
    assert {"Join-Input", "Join-Output", "Colour"} <= schemas.keys()


def test_schemas_are_in_the_words_of_asyncapi():
    schemas = Schemas()
    keys = [schemas.add(kind) for kind in (Say, Said, tuple[int, str], Annotated[dict, Field(default={})])]
    rest = schemas.finish()
    assert schemas[keys[2]] == {
        "type": "array",
        "items": [{"type": "integer"}, {"type": "string"}],
        "minItems": 2,
        "maxItems": 2,
    }
    assert rest["Said"]["properties"]["what"]["discriminator"] == "type"
    assert rest["Say"]["properties"]["pair"]["default"] == [1, "a"]


def test_properties_may_be_called_like_words():
    class Odd(BaseModel):
        discriminator: dict[str, int]
        prefixItems: int = 1  # noqa: N815 - the name is the point
        items: list[int] = []

    schemas = Schemas()
    key = schemas.add(Odd)
    properties = schemas.finish()["Odd"]["properties"]
    assert schemas[key] == {"$ref": "#/components/schemas/Odd"}
    assert list(properties) == ["discriminator", "prefixItems", "items"]
    assert properties["discriminator"]["type"] == "object"


def test_a_tuple_of_any_length_may_go_on():
    from wslab.asgi.asyncapi.schemas import _older

    assert _older({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}) == {
        "items": [{"type": "string"}],
        "additionalItems": {"type": "integer"},
    }


def test_a_type_without_a_schema_is_left_open():
    schemas = Schemas()
    open_, known = schemas.add(Annotated[object, Field()]), schemas.add(int)
    from typing import Any

    from pydantic import InstanceOf

    class Own: ...

    unknown = schemas.add(InstanceOf[Own])
    anything = schemas.add(Any)
    schemas.finish()
    assert schemas[known] == {"type": "integer"}
    assert schemas[unknown] == schemas[anything] == {}
    assert schemas[open_] == {}


def test_models_of_one_name_are_two_schemas():
    def model(kind):
        return type("Message", (BaseModel,), {"__annotations__": {"x": kind}})

    app = App()
    app.websocket("/", receives=[model(int), model(str)])(WebSocketEndpoint)
    made = document_of(app)
    assert list(made["channels"]["root"]["messages"]) == ["Message", "Message_2"]
    payloads = [each["payload"]["$ref"] for each in made["channels"]["root"]["messages"].values()]
    assert len(set(payloads)) == 2


def test_names_are_what_a_component_may_be_called():
    assert name_for(dict[str, Annotated[int, 5]], {}).isascii()
    assert name_for(Annotated[Place, 5], {"Place"}) == "Place_2"
    assert list(variants([Join, Annotated[Say | Said, 1], int | None])) == [Join, Say, Said, int, type(None)]


def test_aliases_of_types_are_looked_through():
    alias = TypeAliasType("alias", Join | Say)
    outer = TypeAliasType("outer", Annotated[alias, Field(discriminator="type")])
    assert list(variants(outer)) == [Join, Say]


def test_included_and_mounted_routes_are_described():
    mounted, inner = App(), APIRouter(prefix="/inner")
    inner.websocket("/ws/{x}")(WebSocketEndpoint)
    mounted.include_router(inner)
    app = App(
        routes=[
            Mount("/tenants/{tenant}", app=mounted),
            Mount("/starlette", app=Starlette(routes=[StarletteRoute("/plain/{y:int}", lambda _: None)])),
            Mount("/raw", app=lambda *_: None),
            Route("/page", lambda _: None),
        ]
    )
    app.include_router(inner, prefix="/outer")
    made = document_of(app)
    assert [each["address"] for each in made["channels"].values()] == [
        "/tenants/{tenant}/inner/ws/{x}",
        "/starlette/plain/{y}",
        "/outer/inner/ws/{x}",
    ]
    assert made["channels"]["starlette_plain_y"]["parameters"] == {"y": {}}
    assert [each["action"] for each in made["operations"].values()] == ["receive", "send"] * 3
    assert "components" not in made or made["components"] == {}


def test_addresses_that_look_alike_have_names_of_their_own():
    app = App()
    for path in ("/a/b", "/a-b", "/a_b", "/", "/ä"):
        app.websocket(path)(WebSocketEndpoint)
    made = document_of(app)
    assert [each["address"] for each in made["channels"].values()] == ["/a/b", "/a-b", "/a_b", "/", "/ä"]


def test_the_fields_of_a_model_are_values_of_their_own():
    class Page(BaseModel):
        limit: int = Field(10, description="How many.")
        after: str

    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket, page: Annotated[Page, Query()]): ...

    query = document_of(app)["channels"]["root"]["bindings"]["ws"]["query"]
    assert query["properties"]["limit"] == {"type": "integer", "description": "How many."}
    assert query["required"] == ["after"]


def test_security_schemes_are_those_of_the_dependencies():
    bearer = OAuth2PasswordBearer(tokenUrl="token", scopes={"read": "Read."})
    schemes = [
        APIKeyQuery(name="key"),
        APIKeyQuery(name="other"),
        APIKeyHeader(name="x-key", description="A key."),
        APIKeyCookie(name="key"),
        HTTPBasic(),
        HTTPBearer(bearerFormat="JWT"),
        HTTPDigest(),
        OAuth2AuthorizationCodeBearer(authorizationUrl="https://x.example/login", tokenUrl="/token"),
        OpenIdConnect(openIdConnectUrl="/.well-known/openid-configuration"),
        WebSocketBearer(),
    ]

    async def user(token: str = Depends(bearer)): ...

    app = App(dependencies=[Depends(each) for each in schemes])

    @app.websocket("/", receives=Say)
    async def endpoint(ws: WebSocket, name=Security(user, scopes=["read"])): ...

    made = document_of(app, url="wss://example.org/base/")
    found = made["components"]["securitySchemes"]
    assert found["APIKeyQuery"] == {"type": "httpApiKey", "in": "query", "name": "key"}
    assert found["APIKeyQuery_2"]["name"] == "other"
    assert found["HTTPBearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert found["OAuth2PasswordBearer"]["flows"]["password"] == {
        "tokenUrl": "https://example.org/base/token",
        "availableScopes": {"read": "Read."},
    }
    assert found["OpenIdConnect"]["openIdConnectUrl"].startswith("https://example.org/.well-known")
    (operation,) = made["operations"].values()
    assert len(operation["security"]) == len(schemes) + 1
    assert operation["security"][0] == {"$ref": "#/components/securitySchemes/APIKeyQuery"}
    assert operation["security"][-1]["scopes"] == ["read"]
    assert "oauth2 read" in page(made)


def test_a_handshake_that_needs_nothing_requires_nothing():
    app = App()

    @app.websocket("/")
    async def endpoint(ws: WebSocket, limit: int = 3, theme: str = Cookie("light")): ...

    (channel,) = document_of(app)["channels"].values()
    binding = channel["bindings"]["ws"]
    assert "required" not in binding["query"]
    assert binding["headers"] == {
        "type": "object",
        "properties": {"Cookie": {"type": "string", "description": "theme=… (optional)"}},
    }


def test_a_scheme_that_two_dependencies_share_is_asked_for_once():
    async def user(token=Depends(HTTPBearer())): ...
    async def guest(token=Depends(HTTPBearer())): ...

    app = App()

    @app.websocket("/", receives=Say)
    async def endpoint(ws: WebSocket, one=Depends(user), other=Depends(guest)): ...

    made = document_of(app)
    (operation,) = made["operations"].values()
    assert operation["security"] == [{"$ref": "#/components/securitySchemes/HTTPBearer"}]
    assert [*made["components"]["securitySchemes"]] == ["HTTPBearer"]


def test_servers_are_the_applications_or_the_one_that_was_asked():
    app = App(
        servers=[
            {"url": "https://example.org/api/", "description": "Production."},
            {"url": "ws://127.0.0.1:8000"},
        ]
    )
    expected = {
        "server": {
            "host": "example.org",
            "protocol": "wss",
            "pathname": "/api",
            "description": "Production.",
        },
        "server_2": {"host": "127.0.0.1:8000", "protocol": "ws"},
    }
    assert document_of(app)["servers"] == expected
    assert document_of(app, url="ws://other")["servers"] == expected
    assert document_of(App(), url="ws://h:1/p")["servers"] == {
        "server": {"host": "h:1", "protocol": "ws", "pathname": "/p"}
    }


def test_an_application_says_who_made_it():
    app = App(
        summary="In short.",
        description="At length.",
        terms_of_service="https://example.org/terms",
        contact={"name": "Us", "email": "us@example.org"},
        license_info={"name": "BSD", "identifier": "BSD-3-Clause"},
    )
    assert document_of(app)["info"] == {
        "title": "wslab",
        "version": "0.1.0",
        "description": "In short.\n\nAt length.",
        "termsOfService": "https://example.org/terms",
        "contact": {"name": "Us", "email": "us@example.org"},
        "license": {"name": "BSD"},
    }


def test_a_class_says_what_it_does_only_itself():
    class Chat(WebSocketEndpoint):
        """Talk."""

    app = App()
    app.websocket("/a")(Chat)
    app.websocket("/b")(type("Silent", (WebSocketEndpoint,), {}))
    made = document_of(app)
    assert made["channels"]["a"]["description"] == "Talk."
    assert "description" not in made["channels"]["b"]


# --- served


def test_the_document_is_served_and_always_new():
    app = App()
    client = TestClient(app, base_url="https://example.org")
    assert client.get("/asyncapi.json").json()["channels"] == {}
    app.websocket("/a")(WebSocketEndpoint)
    response = client.get("/asyncapi.json")
    assert response.json() == document_of(app, url="wss://example.org")
    assert response.headers["cache-control"] == "no-store"
    assert client.head("/asyncapi").status_code == 200
    assert client.post("/asyncapi.json").status_code == 404
    assert repr(App()) == "<App with 0 routes>"


def test_a_mounted_application_serves_its_own():
    inner = App(title="inner")
    inner.websocket("/a")(WebSocketEndpoint)
    outer = App(title="outer", routes=[Mount("/inner", app=inner)])
    made = TestClient(outer).get("/inner/asyncapi.json").json()
    assert made["info"]["title"] == "inner"
    assert made["servers"]["server"] == {"host": "testserver", "protocol": "ws", "pathname": "/inner"}
    assert list(made["channels"]) == ["a"]
    assert list(TestClient(outer).get("/asyncapi.json").json()["channels"]) == ["inner_a"]


def test_routes_of_the_applications_own_come_first():
    app = App(routes=[Route("/asyncapi", lambda _: PlainTextResponse("own"))])
    app.get("/{anything}.json")(lambda anything: anything)
    client = TestClient(app)
    assert client.get("/asyncapi").text == "own"
    assert client.get("/asyncapi.json").json() == "asyncapi"


def test_both_can_be_elsewhere_or_nowhere():
    app = App(asyncapi_url="/doc", asyncapi_docs_url=None)
    client = TestClient(app)
    assert client.get("/doc").json()["asyncapi"] == "3.0.0"
    assert client.get("/asyncapi").status_code == 404
    assert TestClient(App(asyncapi_url=None)).get("/asyncapi.json").status_code == 404


async def test_a_request_without_a_host_gets_a_document_without_a_server():
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/asyncapi.json", "headers": [], "query_string": b""}
    await App()(scope, None, send)
    assert "servers" not in json.loads(sent[1]["body"])


class Links(HTMLParser):
    """Collects whatever a browser would load or run, and every text."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [
            value
            for name, value in attrs
            if name in {"src", "href", "srcset", "action"} or name.startswith("on")
        ]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_loads_and_runs_nothing():
    response = TestClient(example()).get("/asyncapi")
    links = Links()
    links.feed(response.text)
    assert links.loads == ["data:,"]
    assert not {"script", "img", "iframe", "object"} & {*links.tags}
    assert "@import" not in response.text
    assert "url(" not in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    shown = "".join(links.texts)
    for text in (
        "/rooms/{room}/{colour}/{number}",
        "The client sends",
        "Join",
        "How many.",
        "ws://testserver",
    ):
        assert text in shown


def test_the_page_shows_with_each_channel_its_own_messages():
    app = App()

    @app.websocket("/joins", receives=Join)
    async def joins(ws: WebSocket): ...

    @app.websocket("/says", receives=Say)
    async def says(ws: WebSocket): ...

    shown = TestClient(app).get("/asyncapi").text
    articles = [each.partition("</article>")[0] for each in shown.split("<article")[1:]]
    assert [("Join</code>" in each, "Say</code>" in each) for each in articles] == [
        (True, False),
        (False, True),
    ]


HOSTILE = "</pre><script>alert(1)</script>\"'&"


def test_the_page_escapes_everything():
    class Message(BaseModel):
        text: str = Field(HOSTILE, description=HOSTILE, title=HOSTILE, alias=HOSTILE)

    Message.__doc__ = HOSTILE

    async def endpoint(
        ws: WebSocket,
        value: str = Query(alias=HOSTILE, description=HOSTILE),
        key=Depends(APIKeyQuery(name=HOSTILE, scheme_name=HOSTILE, description=HOSTILE)),
    ): ...

    endpoint.__doc__ = HOSTILE
    app = App(title=HOSTILE, version=HOSTILE, description=HOSTILE)
    app.websocket("/<script>", name=HOSTILE, receives=Message)(endpoint)
    document_of(app, url="ws://h")
    shown = TestClient(app).get("/asyncapi", headers={"host": "h<script>"}).text
    links = Links()
    links.feed(shown)
    assert "script" not in links.tags
    assert links.loads == ["data:,"]
    assert "alert(1)" in "".join(links.texts)


def test_an_empty_application_has_a_page():
    assert "no WebSocket endpoint yet" in TestClient(App()).get("/asyncapi").text


def test_what_is_declared_for_the_document_is_kept_by_routers(attempt):
    router = APIRouter()

    @router.websocket("/ws", receives=Sequence[int])
    async def endpoint(ws: WebSocket): ...

    app = App()
    app.include_router(router, prefix="/p")
    (message,) = document_of(app)["channels"]["p_ws"]["messages"].values()
    assert message["payload"] == {"type": "array", "items": {"type": "integer"}}

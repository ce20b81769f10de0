"""Runs each program of this folder: with our framework in a Lab and in uvicorn, with FastAPI in uvicorn."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import types
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn

import wslab

FOLDER = Path(__file__).parent
NOT_PROGRAMS = ("test_", "conftest")
PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(NOT_PROGRAMS))


def source_of(name: str, framework: str = "wslab.asgi") -> str:
    """A program's source; for ``"fastapi"`` with nothing but the two names swapped back."""
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    if framework == "fastapi":
        text = re.sub(r"\bApp\b", "FastAPI", text.replace("wslab.asgi", "fastapi"))
    return text


def load(name: str, framework: str = "wslab.asgi") -> types.ModuleType:
    """A fresh module of the program: its rooms are empty."""
    module = types.ModuleType(f"{name}_on_{framework.partition('.')[0]}")
    module.__file__ = str(FOLDER / f"{name}.py")
    exec(compile(source_of(name, framework), module.__file__, "exec"), vars(module))
    return module


class Served:
    """A program that is being served.

    Attributes:
        module: the program, for its settings and its rooms.
        framework: "wslab.asgi" or "fastapi".
    """

    def __init__(self, module: types.ModuleType, framework: str, port: int) -> None:
        self.module = module
        self.framework = framework
        self.port = port

    def connect(self, path, **options):
        return wslab.connect(f"ws://127.0.0.1:{self.port}{path}", **options)


@asynccontextmanager
async def in_uvicorn(app):
    """Serve `app` as production does; yields the port."""
    config = uvicorn.Config(app, ws="websockets-sansio", log_config=None, timeout_graceful_shutdown=1)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    sock = socket.create_server(("127.0.0.1", 0))
    with sock:
        await server.startup(sockets=[sock])
        try:
            yield sock.getsockname()[1]
        finally:
            await server.shutdown(sockets=[sock])


@asynccontextmanager
async def in_a_lab(app):
    """Serve `app` as a notebook does; yields the port."""
    lab = await wslab.Lab(app).start()
    try:
        yield lab.port
    finally:
        await lab.stop()


WAYS = {
    "lab": ("wslab.asgi", in_a_lab),
    "uvicorn": ("wslab.asgi", in_uvicorn),
    "fastapi": ("fastapi", in_uvicorn),
}


@pytest.fixture(params=WAYS)
def serve(request):
    """A function that serves a program by its name: ``async with serve("echo") as program``.

    Further keywords replace the program's own settings.
    """
    framework, server = WAYS[request.param]

    @asynccontextmanager
    async def serving(name, **settings):
        module = load(name, framework)
        for setting, value in settings.items():
            assert hasattr(module, setting), f"the program has no {setting}"
            setattr(module, setting, value)
        sys.modules[module.__name__] = module
        try:
            async with server(module.app) as port:
                yield Served(module, framework, port)
        finally:
            del sys.modules[module.__name__]

    return serving


@pytest.fixture(name="source_of")
def give_source_of():
    return source_of


@pytest.fixture
def until():
    """A function that waits for what no event announces: the programs keep their members in plain sets."""

    async def wait(condition):
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def programs():
    return PROGRAMS

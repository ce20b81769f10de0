"""The package's face: what it exports, and what importing it costs."""

import subprocess
import sys

import wslab
import wslab.asgi

NAMES = {
    "APIRouter",
    "App",
    "BackgroundTasks",
    "Cookie",
    "Depends",
    "HTTPException",
    "Header",
    "Path",
    "Query",
    "Request",
    "Response",
    "Security",
    "WebSocket",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketState",
    "status",
}


def test_the_names_a_program_needs_are_exported():
    assert set(wslab.asgi.__all__) >= NAMES
    for name in wslab.asgi.__all__:
        assert hasattr(wslab.asgi, name)


def test_the_names_a_notebook_needs_are_the_same_objects():
    for name in NAMES:
        assert getattr(wslab, name) is getattr(wslab.asgi, name)


def test_importing_loads_nothing_heavy():
    program = "import sys, wslab; before = {*sys.modules}; import wslab.asgi; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {
        "IPython",
        "anywidget",
        "fastapi",
        "httpx2",
        "ipykernel",
        "ipywidgets",
        "pydantic",  # comes with the first parameter
        "starlette.testclient",
        "uvicorn",
        "websockets",
    }


def test_an_endpoint_without_parameters_needs_no_pydantic():
    program = (
        "import sys\n"
        "from wslab.asgi import App\n"
        "app = App()\n"
        "@app.websocket('/')\n"
        "async def echo(ws): ...\n"
        "assert 'pydantic' not in sys.modules\n"
        "@app.websocket('/{name}')\n"
        "async def room(ws, name: str): ...\n"
        "assert 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

"""`serve`: an application outside a notebook, with the lab's door, limits and record.

Theory of operation. The same `Core` that a `Lab` has serves in a loop made here. The first SIGINT or
SIGTERM stops it: clients get 1012, endpoints are cancelled, and the process ends within 2.5 seconds, for
nothing that swallows a cancellation is waited for, and what holds the loop is interrupted
(`wslab.server.signals`). A second Ctrl-C ends the process at once.

With ``reload=True`` the application runs in a process of its own, which is started again when a source
file changes. That is uvicorn's supervisor: it looks four times a second, or is told by the system where the
package `watchfiles` is installed. The token is drawn before, so that addresses stay what they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from wslab.core import Core
from wslab.errors import NoEventLoopError, OptionError, RecordingError, WSLabError
from wslab.events import EndpointFailed, Event, Printed
from wslab.server import bind, check_app
from wslab.server.addresses import direct_url
from wslab.server.loading import load_app
from wslab.server.options import NAMES, Options, refuse_unknown
from wslab.server.signals import stop_signals
from wslab.widgets.describe import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp

    from wslab.server.limits import Limits
    from wslab.server.options import Engine
    from wslab.server.policy import Auth
    from wslab.wire.deflate import DeflateOptions

__all__ = ["SERVE_OPTIONS", "let_go", "serve"]

SERVE_OPTIONS = tuple(name for name in NAMES if name != "loop")
"""The names of `serve`'s options: all but ``loop``, since there is no notebook to share one with."""

_TIDY_UP = 0.2  # seconds for each kind of thing that is left when the server has ended
_LAST_WAIT = 0.3  # seconds for threads that are left when the process ends
_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart here, not bound

logger = logging.getLogger("wslab")


def serve(
    app: ASGIApp | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    public: bool = False,
    auth: Auth = "auto",
    token: str = "",
    ws: Engine = "wslab",
    limits: Limits | str | None = None,
    deflate: bool | DeflateOptions = False,
    capture: bool = True,
    lines: bool = True,
    ping_interval: float | None = 20.0,
    ping_timeout: float | None = 20.0,
    reload: bool = False,
    save: str = "",
    **unknown: Never,
) -> None:
    """Serve `app` until Ctrl-C or SIGTERM. For programs; a notebook has `wslab.Lab`.

    The address is printed; refusals, limits and errors go to the logger ``wslab`` in one line each
    (tracebacks with level DEBUG), and to stderr where logging is not set up.

    Args:
        app: any ASGI application, or its name: ``"module:app"``, ``"module:make()"`` for a factory.
        host: address to bind; the default is reachable from this machine only.
        port: port to bind; 0 takes a free one.
        public: allow a `host` that other machines reach; every client needs the token then, and the
            limits begin with ``per_client=20,rate=100``.
        auth: "auto" (see `wslab.server.policy`), "token": every client needs it, "off".
        token: the token; a random one by default.
        ws: the WebSocket engine: the lab's own, "wslab", or uvicorn's "websockets-sansio" or "wsproto".
        limits: what a client may ask for, as `wslab.Limits` or text: ``"message=4MiB,rate=50"``;
            "off" for load tests only.
        deflate: permessage-deflate (RFC 7692): True, False, or its `DeflateOptions`.
        capture: record every byte of every connection.
        lines: note which line of the application received or sent each message.
        ping_interval: seconds between two pings; None sends none.
        ping_timeout: seconds until a ping must be answered, else the connection is cut; None: no limit.
        reload: start again when a ``.py`` file below the working directory changes; `app` is a name then.
        save: write what the recorder keeps to this file at the end: ``.jsonl``, ``.har`` or ``.pcapng``.
        **unknown: any other name is refused, with the nearest of these.

    Raises:
        OptionError: an option is unknown, or its value cannot be meant.
        RecordingError: `save` names no format or no folder; at the end, the file cannot be written.
        AppLoadError: there is no application of that name.
        NotAnAppError: `app` is no ASGI application.
        NoEventLoopError: a loop runs in this thread already.
        PortInUseError: the port is taken.
        StartupError: the application's lifespan failed.

    Example:
        A program's last lines::

            if __name__ == "__main__":
                wslab.serve(app, port=8000)
    """
    refuse_unknown(unknown, SERVE_OPTIONS)
    given = {name: value for name, value in locals().items() if name in SERVE_OPTIONS}
    options = Options.of(given)
    if save:
        from wslab.wire.files import check_target

        check_target(save)
    _refuse_running_loop()
    if not reload:
        _serve(app, options)
        return
    if not isinstance(app, str):
        raise OptionError(
            f"Expected the application's name with reload=True, got {app!r:.60}.",
            remedy='Pass for example "main:app": what is to be loaded again has to be found again.',
        )
    _serve_reloading(app, options)


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise NoEventLoopError(
        "Expected no event loop in this thread: serve() blocks until Ctrl-C, and here one runs already.",
        remedy="In a notebook or a coroutine, write `lab = wslab.Lab(app)` and `await lab.start()`.",
    )


def _serve(app: ASGIApp | str, options: Options) -> None:
    if isinstance(app, str):
        name, loaded = app, load_app(app)
    else:
        name, loaded = type(app).__name__, check_app(app)
    core = Core(options)
    # Not asyncio.run(): at its end it waits for every task, and so for each that swallows its cancellation.
    loop = asyncio.new_event_loop()
    try:
        with _logged(core):
            loop.run_until_complete(_until_signal(core, loaded, name))
            _save(core)
    finally:
        _close(loop)


async def _until_signal(core: Core, app: ASGIApp, name: str) -> None:
    stop = asyncio.Event()
    with stop_signals(asyncio.get_running_loop(), stop.set):
        stopped = asyncio.ensure_future(stop.wait())
        try:
            core.start(app)
            ready = asyncio.ensure_future(core.ready())
            await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                ready.result()
                print(f"wslab serves {name} at {_address(core)} (Ctrl-C stops it)", flush=True)  # noqa: T201 - its one line
                await stopped
            else:  # an application that never ends its startup is stopped as well
                ready.cancel()
        finally:
            await core.stop()


def _save(core: Core) -> None:
    """Keep the record, where that is asked for."""
    path = core.options.save
    if not path:
        return
    try:
        core.frames.save(path, core.connections)
    except OSError as error:
        raise RecordingError(
            f"Expected to save the record in {path}, got: {error}.",
            remedy="Is there room, and may you write there?",
        ) from error
    print(f"wslab saved {len(core.frames)} frames in {path}", flush=True)  # noqa: T201 - its last line


def _address(core: Core) -> str:
    """What a client needs: with the token where it is asked for, and a name where any address is bound."""
    host = socket.gethostname() if core.options.host in _ANY_ADDRESS else core.options.host
    return direct_url(host, core.last_port, "/", core.policy.token if core.policy.always else "")


@contextlib.contextmanager
def _logged(core: Core) -> Iterator[None]:
    """Tell what a person should read to the log."""
    handler: logging.Handler | None = None
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
    unsubscribe = core.journal.subscribe(_log)
    try:
        yield
    finally:
        unsubscribe()
        if handler is not None:
            logger.removeHandler(handler)


def _log(event: Event) -> None:
    if isinstance(event, Printed):
        return  # it stands on stdout or stderr already
    level, sentence, detail = describe(event)
    if level not in {"warning", "error"}:
        return
    line = f"{event.connection or '-'} {sentence}"
    if detail and not isinstance(event, EndpointFailed):
        line += f" {detail}"
    logger.log(logging.ERROR if level == "error" else logging.WARNING, "%s", _one_line(line))
    if isinstance(event, EndpointFailed):
        logger.debug("%s", event.traceback)


def _one_line(text: str) -> str:
    """`text` without control characters: what comes from the network must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close `loop`, and wait for nothing that does not end."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    stuck = False

    async def tidy_up() -> None:
        nonlocal stuck
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=_TIDY_UP)
            stuck = bool(pending)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(loop.shutdown_asyncgens(), _TIDY_UP)
        executor = asyncio.ensure_future(loop.shutdown_default_executor())
        _, pending_executor = await asyncio.wait([executor], timeout=_TIDY_UP)
        stuck = stuck or bool(pending_executor)

    loop.run_until_complete(tidy_up())
    # The journal has named who did not end; asyncio need not tell it again when it is collected.
    loop.set_exception_handler(lambda _loop, _context: None)
    if stuck:  # nor uvicorn, where its logger has no handler
        logging.getLogger("uvicorn.error").addHandler(logging.NullHandler())
    else:
        loop.close()


def let_go() -> None:
    """End the process soon, also where a thread does not end that an endpoint began. For commands.

    Python waits at its end for threads, however long they take.
    """
    main = threading.main_thread()
    if any(thread is not main and not thread.daemon for thread in threading.enumerate()):
        sys.stdout.flush()
        timer = threading.Timer(_LAST_WAIT, os._exit, (0,))
        timer.daemon = True
        timer.start()


# -- reloading -----------------------------------------------------------------------------------------
def _serve_reloading(name: str, options: Options) -> None:
    from uvicorn import Config

    with bind(options.host, options.port) as probe:  # a taken port is an error here, not one per change
        port = probe.getsockname()[1]
    token = options.token or secrets.token_urlsafe(16)
    again = partial(_serve_again, name, replace(options, port=port, token=token, reload=False))
    config = Config(name, reload=True, reload_dirs=[str(Path.cwd())], log_config=None)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        _supervisor()(config, target=again, sockets=[]).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _supervisor() -> type[Any]:
    """The supervisor of uvicorn's choice, which misses no change."""
    from uvicorn.supervisors import ChangeReload
    from uvicorn.supervisors.statreload import StatReload

    if not issubclass(ChangeReload, StatReload):
        return ChangeReload

    class Supervisor(StatReload):
        def restart(self) -> None:
            super().restart()
            # It would look at the files only a moment later, and take what was saved meanwhile (a formatter
            # writes a file twice) for what the new process has read.
            for file in self.iter_py_files():
                with contextlib.suppress(OSError):  # it was deleted meanwhile
                    self.mtimes[file] = file.stat().st_mtime

    return Supervisor


def _serve_again(name: str, options: Options, sockets: Any = None) -> None:
    """One life of the application under the supervisor, in a process of its own."""
    del sockets  # the supervisor's; this process binds its own
    try:
        _serve(name, options)
        let_go()
    except WSLabError as error:
        sys.stderr.write(f"wslab: {error} Waiting for a change.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # while the application was imported

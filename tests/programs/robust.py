"""The specification's robust endpoint with its heartbeat, mended.

What was wrong in it:

* The 1002 and 1003 that an `error_test` asks for were caught and swallowed: the client saw 1000.
* The heartbeat task was cancelled only on the ordinary way out: an error or a cancellation left it running.
* Heartbeats were sent, but nobody looked whether one was ever answered: a dead client was never noticed.
* A message that was JSON but no object was answered as an internal error.
* `except Exception` around it all kept every error from the server, which then saw an ordinary end.
"""

import asyncio
import contextlib
import json
import logging

from wslab.asgi import App, WebSocket, WebSocketDisconnect, WebSocketException

app = App()
logger = logging.getLogger(__name__)

HEARTBEAT_INTERVAL = 30.0  # seconds; a client that is silent for two of them is taken for dead


class SimulatedError(Exception):
    """What an `error_test` asks for."""


class WebSocketHandler:
    def __init__(self, websocket: WebSocket):
        self.websocket = websocket
        self.is_connected = False
        self.heard = True

    async def connect(self):
        await self.websocket.accept()
        self.is_connected = True
        logger.info("WebSocket connected")

    async def disconnect(self, code: int = 1000, reason: str = ""):
        if self.is_connected:
            self.is_connected = False
            with contextlib.suppress(WebSocketDisconnect):  # the client was faster: closed is closed
                await self.websocket.close(code=code, reason=reason)
            logger.info("WebSocket disconnected: %s - %s", code, reason)

    async def send_safe(self, message: dict) -> bool:
        """Send a message; False if the client has left."""
        if not self.is_connected:
            return False
        try:
            await self.websocket.send_json(message)
        except (WebSocketDisconnect, RuntimeError) as error:
            logger.info("Failed to send message: %r", error)
            self.is_connected = False
        return self.is_connected

    async def receive_safe(self) -> dict:
        """Receive a JSON object; anything else is a protocol error."""
        try:
            data = await self.websocket.receive_json()
        except WebSocketDisconnect as error:
            logger.info("WebSocket disconnected: %s - %s", error.code, error.reason)
            self.is_connected = False
            raise
        except (json.JSONDecodeError, KeyError) as error:  # KeyError: a binary message
            raise WebSocketException(code=1002, reason="Protocol error") from error
        self.heard = True
        if not isinstance(data, dict):
            raise WebSocketException(code=1002, reason="Protocol error")
        return data


async def heartbeat(handler: WebSocketHandler):
    """Send heartbeats, until the client has been silent for two of them."""
    silent = 0
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        silent = 0 if handler.heard else silent + 1
        if silent == 2:
            raise WebSocketException(code=1011, reason="No heartbeat response")
        handler.heard = False
        if not await handler.send_safe({"type": "heartbeat"}):
            return


async def answer_messages(handler: WebSocketHandler):
    while True:
        data = await handler.receive_safe()
        try:
            await answer(handler, data)
        except WebSocketException:
            raise
        except Exception:
            logger.exception("Unexpected error in WebSocket handler")
            await handler.send_safe({"type": "error", "message": "An unexpected error occurred"})


async def answer(handler: WebSocketHandler, data: dict):
    if data.get("type") == "heartbeat_response":
        logger.debug("Received heartbeat response")
    elif data.get("type") == "echo":
        await handler.send_safe({"type": "echo_response", "original_message": data.get("message", "")})
    elif data.get("type") == "error_test":
        error_type = data.get("error_type", "generic")
        if error_type == "protocol_error":
            raise WebSocketException(code=1002, reason="Test protocol error")
        if error_type == "invalid_data":
            raise WebSocketException(code=1003, reason="Test invalid data")
        raise SimulatedError("Test generic error")
    else:
        await handler.send_safe({"type": "error", "message": f"Unknown message type: {data.get('type')}"})


@app.websocket("/ws/robust")
async def robust_websocket(websocket: WebSocket):
    handler = WebSocketHandler(websocket)
    await handler.connect()
    await handler.send_safe(
        {
            "type": "connection_info",
            "message": "Connected successfully",
            "heartbeat_interval": HEARTBEAT_INTERVAL,
        }
    )
    tasks = [asyncio.create_task(heartbeat(handler)), asyncio.create_task(answer_messages(handler))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except WebSocketDisconnect:
        pass
    except WebSocketException as error:
        await handler.disconnect(error.code, error.reason)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

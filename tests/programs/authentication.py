"""The specification's authenticated JSON endpoint, mended.

What was wrong in it:

* A token without an expiry was good for ever, and an expired one was as long as its connection lasted.
* A token without `username` or `user_id` was let in, and failed with a KeyError when welcomed.
* The key "secret" is shorter than HS256 asks for (RFC 7518 section 3.2: 32 bytes).
* A message that was no JSON, or no object, ended the connection with 1011.
* `except Exception` closed connections that were closed already, and hid what had happened from the log.
* The time stamp was always the first of January 2023.
* `HTTPBearer` was made and never used, and `json` imported and never used.
"""

import asyncio
import json
import os
import time
from datetime import UTC, datetime

import jwt

from wslab.asgi import App, Depends, HTTPException, Query, WebSocket, WebSocketDisconnect

app = App()

SECRET = os.environ.get("JWT_SECRET") or os.urandom(32).hex()
CLAIMS = ["exp", "user_id", "username"]


def verify_websocket_token(token: str = Query(...)):
    """Verify the authentication token in the query."""
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": CLAIMS})
    except jwt.InvalidTokenError as error:
        raise HTTPException(status_code=401, detail="Invalid token") from error


def reply_to(data, user: dict) -> dict:
    if not isinstance(data, dict) or "type" not in data:
        return {"type": "error", "message": "Message must include 'type' field"}
    if data["type"] == "ping":
        return {"type": "pong"}
    if data["type"] != "message":
        return {"type": "error", "message": f"Unknown message type: {data['type']}"}
    if "content" not in data:
        return {"type": "error", "message": "Message content is required"}
    return {
        "type": "message_received",
        "content": data["content"],
        "from_user": user["username"],
        "timestamp": datetime.now(UTC).isoformat(),
    }


@app.websocket("/ws")
async def websocket_endpoint(websocket: WebSocket, user: dict = Depends(verify_websocket_token)):
    await websocket.accept()
    try:
        async with asyncio.timeout(user["exp"] - time.time()):
            await websocket.send_json(
                {
                    "type": "welcome",
                    "message": f"Welcome {user['username']}!",
                    "user_id": user["user_id"],
                }
            )
            while True:
                try:
                    data = await websocket.receive_json()
                except (json.JSONDecodeError, KeyError):  # KeyError: a binary message
                    await websocket.send_json({"type": "error", "message": "Message must be JSON"})
                    continue
                await websocket.send_json(reply_to(data, user))
    except TimeoutError:
        await websocket.close(code=1008, reason="Token expired")
    except WebSocketDisconnect:
        print(f"User {user['username']} disconnected")

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from starlette.websockets import WebSocketDisconnect

from wslab.rooms.accept import ensure_accepted, is_closed


async def test_accepts_once_however_many_ask(new_peer, settle):
    peer = new_peer()
    asking = [asyncio.create_task(ensure_accepted(peer.ws)) for _ in range(3)]
    await settle()
    peer.knock()
    await asyncio.gather(*asking)
    await ensure_accepted(peer.ws)
    assert peer.accepts == 1


async def test_when_the_first_to_ask_is_cancelled_the_next_accepts(new_peer, settle):
    peer = new_peer()
    first, second = (asyncio.create_task(ensure_accepted(peer.ws)) for _ in range(2))
    await settle()
    first.cancel()
    await asyncio.wait({first})
    peer.knock()
    await second
    assert first.cancelled()
    assert peer.accepts == 1


@pytest.mark.parametrize("before", [True, False], ids=["refused", "closed"])
async def test_a_closed_connection_is_a_disconnect(new_peer, before):
    peer = new_peer()
    peer.knock()
    if not before:
        await peer.ws.accept()
    await peer.ws.close(1000)
    assert is_closed(peer.ws)
    with pytest.raises(WebSocketDisconnect):
        await ensure_accepted(peer.ws)


async def test_a_client_that_hung_up_is_a_disconnect(connected):
    peer = await connected()
    assert not is_closed(peer.ws)
    await peer.hang_up()
    with pytest.raises(WebSocketDisconnect):
        await ensure_accepted(peer.ws)


async def test_nothing_is_kept_of_a_connection(new_peer):
    peer = new_peer()
    peer.knock()
    await ensure_accepted(peer.ws)
    gone = weakref.ref(peer.ws)
    del peer
    gc.collect()
    assert gone() is None

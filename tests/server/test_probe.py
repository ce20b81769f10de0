from __future__ import annotations

import asyncio

import pytest

import wslab
from wslab.server.probe import Probe


async def get(lab, path, *, method="GET", host="127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), body.decode()


@pytest.fixture
async def lab():
    lab = wslab.Lab(token="s3cret", auth="token")
    await lab.start()
    yield lab
    await lab.stop()


async def test_who_knows_the_path_gets_the_answer_without_the_token(lab):
    probe = Probe("s3cret")
    status, head, body = await get(lab, probe.path)
    assert (status, body) == (200, probe.answer)
    assert b"access-control-allow-origin: *" in head
    assert b"cache-control: no-store" in head


async def test_it_leaves_no_connection_on_the_record(lab):
    await get(lab, Probe("s3cret").path)
    assert len(lab.connections) == 0


@pytest.mark.parametrize("path", ["/.wslab/", "/.wslab/00000000000000000000000000000000"])
async def test_another_path_is_asked_for_the_token_like_any_other(lab, path):
    assert (await get(lab, path))[0] == 403


async def test_another_method_is_not_the_probe(lab):
    assert (await get(lab, Probe("s3cret").path, method="POST"))[0] == 403


def test_path_and_answer_are_the_labs_own_and_tell_nothing_of_its_token():
    one, other = Probe("one"), Probe("other")
    assert len({one.path, other.path, f"/.wslab/{one.answer}", f"/.wslab/{other.answer}"}) == 4
    assert "one" not in one.path + one.answer
    assert Probe("one").path == one.path

from __future__ import annotations


async def test_what_is_sent_comes_back_in_order(serve, capsys):
    async with serve("echo") as program:
        async with program.connect("/ws") as client:
            for text in ("hello", "", "größe", "x" * 70_000):
                await client.send(text)
            for text in ("hello", "", "größe", "x" * 70_000):
                assert await client.receive(5) == f"Message text was: {text}"
        assert client.closed.code == 1000
    assert capsys.readouterr().out == "Client disconnected\n"

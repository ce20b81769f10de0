from __future__ import annotations

import pytest

OPTIONS = ("-v", "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function")


async def test_the_endpoint_serves_over_a_socket(serve):
    async with serve("client") as program, program.connect("/ws/test") as client:
        await client.send("hello")
        assert await client.receive(5) == "HELLO"
        await client.send("straße")
        assert await client.receive(5) == "STRASSE"


@pytest.mark.parametrize("lib", ["wslab.asgi", "fastapi"])
def test_its_own_tests_are_collected_and_pass_and_the_endpoint_is_none(pytester, source_of, lib):
    pytester.makepyfile(test_program=source_of("client", lib))
    result = pytester.runpytest_subprocess(*OPTIONS)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_websocket_echo PASSED*", "*::test_websocket_json PASSED*"])

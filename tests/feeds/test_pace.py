from __future__ import annotations

from wslab.feeds.pace import Pace


class SlowWorld:
    """A clock on which each sleep takes longer than it was asked to."""

    def __init__(self, late):
        self.now = 1000.0
        self.late = late
        self.asked = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.asked.append(seconds)
        self.now += seconds + self.late


async def test_lateness_does_not_add_up():
    world = SlowWorld(late=0.25)
    pace = Pace(world.clock, world.sleep)
    woken = []
    for n in range(1, 9):
        await pace.until(n)
        woken.append(world.now - 1000.0)
    assert woken == [n + 0.25 for n in range(1, 9)]


async def test_a_missed_moment_still_yields_to_the_loop():
    world = SlowWorld(late=5.0)
    pace = Pace(world.clock, world.sleep)
    for n in range(4):
        await pace.until(n)
    assert world.asked == [0.0, 0.0, 0.0, 0.0]

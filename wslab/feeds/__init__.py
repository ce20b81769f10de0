"""Stock prices as streams of ticks: a replay of real history, a seeded simulation, or any async iterator.

`replay` and `simulate` make a stream; `Feed` lets any number of clients share one.
"""

from __future__ import annotations

from wslab.feeds.feed import Feed
from wslab.feeds.replay import replay
from wslab.feeds.simulate import simulate
from wslab.feeds.stocks import Bar, load_stocks
from wslab.feeds.tick import Tick

__all__ = ["Bar", "Feed", "Tick", "load_stocks", "replay", "simulate"]

"""The display filter: a small language about frames, as `wslab.wire.query.language` describes it."""

from __future__ import annotations

from wslab.wire.query.completion import complete, word_start
from wslab.wire.query.fields import FIELDS
from wslab.wire.query.language import MAX_DEPTH, MAX_QUERY, Query, QueryError

__all__ = ["FIELDS", "MAX_DEPTH", "MAX_QUERY", "Query", "QueryError", "complete", "word_start"]

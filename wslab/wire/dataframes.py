"""Tables as pandas' data frames, where pandas is installed; wslab does not ask for it.

Times are `datetime64[ns, UTC]`, from the recorder's own nanoseconds. Where a frame has no such value (the
connection ended inside its header) the cell is missing (`pandas.NA`), and its column has a type for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wslab.errors import MissingPackageError
from wslab.wire.messages import frame_problem
from wslab.wire.recorded import RecordedFrame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    import pandas as pd

    from wslab.wire.connection import Connection
    from wslab.wire.recorder import Recorder

__all__ = ["connections_dataframe", "frames_dataframe"]

_INT64 = 2**63
_HEADER = "The connection ended inside this frame's header (RFC 6455 section 5.2)."


def _pandas() -> ModuleType:
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError(
            f"Expected pandas to be installed, got: {error}.",
            remedy="Install it: `pip install pandas`, or `%pip install pandas` in a notebook.",
        ) from error
    module: ModuleType = pd
    return module


def frames_dataframe(recorder: Recorder) -> pd.DataFrame:
    """The kept frames, one row each, oldest first.

    Args:
        recorder: `lab.recorder`, or that of a loaded recording's frames.

    Returns:
        seq (the frame's number), at, connection (its id), connections (the ids of all that a room sent it
        to at once, which `explode` makes rows of), direction ("in" or "out"), opcode (its name), fin, length
        (bytes of payload; missing where the header announces more than 2**63 - 1, which is a problem),
        wire_length (bytes, header included), masked, text, payload (unmasked bytes, as far as they were
        kept), problem ("" for a good frame), sent_at (by the clock of the lab's own client; missing for
        others), lag (seconds that the loop was late) and site (the line of the application that sent it).

    Raises:
        MissingPackageError: pandas cannot be imported.
    """
    pandas = _pandas()
    records = recorder.records(recorder.begin, recorder.end)
    rows = [RecordedFrame.from_record(record) for record in records]
    frames = [row.frame for row in rows]
    masked = [frame and frame.mask_key is not None for frame in frames]
    lengths = [frame.length if frame and frame.length < _INT64 else None for frame in frames]
    problems = [
        _HEADER if frame is None else frame_problem(frame, row.direction)
        for row, frame in zip(rows, frames, strict=True)
    ]
    return pandas.DataFrame(
        {
            "seq": pandas.Series([row.seq for row in rows], dtype="int64"),
            "at": _times(pandas, [record.at_ns for record in records]),
            "connection": _texts(pandas, [row.connection.id for row in rows]),
            "connections": pandas.Series(
                [[connection.id for connection in row.connections] for row in rows], dtype="object"
            ),
            "direction": _texts(pandas, [row.direction for row in rows]),
            "opcode": _texts(pandas, [row.name for row in rows]),
            "fin": pandas.Series([frame and frame.fin for frame in frames], dtype="boolean"),
            "length": pandas.Series(lengths, dtype="Int64"),
            "wire_length": pandas.Series([row.wire_length for row in rows], dtype="int64"),
            "masked": pandas.Series(masked, dtype="boolean"),
            "text": _texts(pandas, [row.text for row in rows]),
            "payload": pandas.Series([row.payload for row in rows], dtype="object"),
            "problem": _texts(pandas, problems),
            "sent_at": _times(pandas, [record.sent_ns or None for record in records]),
            "lag": pandas.Series([row.lag for row in rows], dtype="float64"),
            "site": _texts(pandas, [str(row.site or "") for row in rows]),
        }
    )


def connections_dataframe(connections: Iterable[Connection]) -> pd.DataFrame:
    """Connections, one row each, with the columns of `Connection.to_dict`.

    Args:
        connections: `lab.connections`, or those of a loaded recording.

    Returns:
        Times in UTC, missing where the connection lives; the round trip in seconds; the close code as a
        whole number, missing where there is none.

    Raises:
        MissingPackageError: pandas cannot be imported.
    """
    pandas = _pandas()
    rows = [connection.to_dict() for connection in connections]
    table = {name: [row[name] for row in rows] for name in (rows[0] if rows else _EMPTY)}
    return pandas.DataFrame({name: _column(pandas, name, values) for name, values in table.items()})


_NUMBERS = dict.fromkeys(("messages_in", "messages_out", "bytes_in", "bytes_out"), "int64")
_KINDS = {**_NUMBERS, "code": "Int64", "rtt": "float64"}
_MOMENTS = ("opened_at", "ended_at")
_EMPTY = (
    *("id", "state", "peer", "path", "via", "altered", *_NUMBERS),
    *("code", "reason", "closed_by", "rtt", *_MOMENTS),
)


def _column(pandas: Any, name: str, values: list[Any]) -> Any:
    if name in _MOMENTS:
        return _times(pandas, [None if value is None else round(value * 1e9) for value in values])
    if name in _KINDS:
        return pandas.Series(values, dtype=_KINDS[name])
    return _texts(pandas, values)


def _times(pandas: Any, nanoseconds: list[int | None]) -> Any:
    whole = [None if number is None else min(number, _INT64 - 1) for number in nanoseconds]
    return pandas.to_datetime(pandas.Series(whole, dtype="Int64"), unit="ns", utc=True)


def _texts(pandas: Any, values: list[str]) -> Any:
    """Text as pandas' own type for it, which takes no lone surrogate: a file's JSON may hold one."""
    return pandas.Series([value.encode("utf-8", "replace").decode() for value in values], dtype="str")

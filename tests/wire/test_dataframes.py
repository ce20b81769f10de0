from __future__ import annotations

import sys

import pandas as pd
import pytest

from wslab.errors import MissingPackageError
from wslab.wire import ConnectionTable, FrameTable, Recorder, encode_frame
from wslab.wire.dataframes import connections_dataframe
from wslab.wire.files.recording import Builder

COLUMNS = [
    *("seq", "at", "connection", "connections", "direction", "opcode", "fin", "length"),
    *("wire_length", "masked", "text", "payload", "problem", "sent_at", "lag", "site"),
]


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def table(recorder):
    """One connection that talks and closes, and one that breaks off inside a header."""
    table = ConnectionTable(recorder)
    one, two = table.open("127.0.0.1:50001"), table.open("127.0.0.1:50002")
    one.request = b"GET /echo HTTP/1.1\r\n\r\n"
    one.note_response(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101)
    one.received.feed(encode_frame(1, "hé".encode(), mask=b"abcd"))
    one.sent.feed(encode_frame(2, b"\0\xff", fin=False))
    one.received.feed(encode_frame(1, b"x"))
    one.sent.feed(encode_frame(8, b"\x0f\xa1bye"))
    one.rtt = 0.25
    one.note_end()
    two.received.feed(b"\x81\xfe\x01")
    two.received.finish()
    return table


def test_a_frame_is_a_row(recorder, table):
    found = FrameTable(recorder).to_dataframe()
    assert list(found.columns) == COLUMNS
    assert found["seq"].tolist() == [0, 1, 2, 3, 4]
    assert found["connection"].tolist() == ["c1"] * 4 + ["c2"]
    assert found["direction"].tolist() == ["in", "out", "in", "out", "in"]
    assert found["opcode"].tolist() == ["TEXT", "BINARY", "TEXT", "CLOSE", "INCOMPLETE"]
    assert found["fin"].tolist() == [True, False, True, True, pd.NA]
    assert found["masked"].tolist() == [True, False, False, False, pd.NA]
    assert found["length"].tolist() == [3, 2, 1, 5, pd.NA]
    assert found["wire_length"].tolist() == [9, 4, 3, 7, 3]
    assert found["text"][[0, 3, 4]].tolist() == ["hé", "4001 bye", ""]
    assert found["payload"][1] == b"\0\xff"
    assert found["problem"][[0, 1, 3]].tolist() == ["", "", ""]
    assert found["problem"][2] == "The client did not mask this frame (RFC 6455 section 5.1)."
    assert "inside this frame's header" in found["problem"][4]


def test_times_are_exact_and_know_their_zone(recorder, table):
    found = FrameTable(recorder).to_dataframe()["at"]
    assert str(found.dtype) == "datetime64[ns, UTC]"
    assert [moment.value for moment in found] == [record.at_ns for record in recorder.records(0, 5)]


def test_columns_answer_the_usual_questions(recorder, table):
    found = FrameTable(recorder).to_dataframe()
    assert found.groupby("direction")["wire_length"].sum().to_dict() == {"in": 15, "out": 11}
    assert found[found["masked"].fillna(False)]["text"].tolist() == ["hé"]
    assert (found["wire_length"] - found["length"]).dropna().tolist() == [6, 2, 2, 2]


def test_a_length_that_no_column_holds_is_missing(recorder, table):
    table[0].sent.feed(b"\x82\x7f" + b"\xff" * 8)
    table[0].sent.finish()
    row = FrameTable(recorder).to_dataframe().iloc[-1]
    assert row["length"] is pd.NA
    assert row["problem"] != ""


def test_a_frame_that_a_room_sent_names_all_its_members(recorder, table):
    frame = encode_frame(1, b"to all")
    for connection in table:
        connection.sent.share(frame)
    found = FrameTable(recorder).to_dataframe().iloc[-1:]
    assert found["connections"].tolist() == [["c1", "c2"]]
    assert found.explode("connections")["connections"].tolist() == ["c1", "c2"]
    assert found["lag"].tolist() == [0.0]
    assert pd.isna(found["sent_at"].iloc[0])


def test_a_connection_is_a_row(table):
    found = table.to_dataframe()
    assert list(found.columns) == list(table[0].to_dict())
    assert found["id"].tolist() == ["c1", "c2"]
    assert found["path"].tolist() == ["/echo", ""]
    assert found["messages_in"].tolist() == [2, 0]
    assert found["code"].tolist() == [4001, pd.NA]
    assert found["closed_by"].tolist() == ["server", ""]
    assert found["rtt"][0] == 0.25
    assert pd.isna(found["rtt"][1])
    assert str(found["opened_at"].dtype) == "datetime64[ns, UTC]"
    assert abs(found["opened_at"][0].timestamp() - table[0].opened_at) < 1e-6
    assert [pd.isna(moment) for moment in found["ended_at"]] == [False, True]


def test_types_do_not_depend_on_there_being_rows(recorder, table):
    for full, empty in (
        (FrameTable(recorder).to_dataframe(), FrameTable(Recorder()).to_dataframe()),
        (table.to_dataframe(), ConnectionTable(Recorder()).to_dataframe()),
    ):
        assert len(empty) == 0
        assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_what_a_file_may_hold_fits():
    builder = Builder()
    row = builder.open(1, "\ud800", "direct", "here")
    row.opened_at = 2.0**40
    builder.whole(row.sent, encode_frame(1, b"late"), 2**70, "here")
    recording = builder.recording()
    assert connections_dataframe(recording.connections)["peer"].tolist() == ["?"]
    assert recording.frames.to_dataframe()["at"][0].year == pd.Timestamp.max.year


def test_without_pandas_it_says_what_to_install(recorder, table, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for made in (FrameTable(recorder), table):
        with pytest.raises(MissingPackageError, match=r"Expected pandas .* `pip install pandas`") as raised:
            made.to_dataframe()
        assert isinstance(raised.value, ImportError)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Close as OracleClose

from wslab.wire.close_codes import (
    CLOSE_CODES,
    MAX_REASON,
    check_close,
    close_problem,
    cut_reason,
    name_close_code,
)


@pytest.mark.parametrize("length", [0, 61, 62, 123, 124, 400])
@pytest.mark.parametrize("character", ["a", "é", "€", "😀", "\ud800"])
def test_reasons_are_cut_at_a_character(length, character):
    cut = cut_reason(character * length)
    assert len(cut.encode()) <= 123
    assert len(set(cut)) <= 1


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_an_endpoint_may_send(code):
    assert check_close(code, "é" * 61) == ""


@pytest.mark.parametrize(
    "code", [0, 999, 1002, 1004, 1005, 1006, 1015, 1016, 2999, 5000, -1, True, "1000", 1e3, None]
)
def test_codes_that_it_may_not(code):
    assert check_close(code, "").startswith("Expected a close code")


@pytest.mark.parametrize("reason", ["é" * 62, "\ud800", b"bytes", None, 5])
def test_reasons_that_no_close_frame_carries(reason):
    assert check_close(1000, reason).startswith("Expected ")


def test_names():
    assert name_close_code(1006) == "1006 (abnormal closure)"
    assert name_close_code(4321) == "4321"
    assert all(1000 <= code <= 1015 for code in CLOSE_CODES)


@given(st.text())
def test_a_cut_reason_fits_and_is_a_beginning(text):
    cut = cut_reason(text)
    raw = text.encode("utf-8", "replace")
    assert raw.startswith(cut.encode())
    assert len(cut.encode()) <= MAX_REASON
    if len(raw) <= MAX_REASON:
        assert cut.encode() == raw
    else:
        assert len(cut.encode()) > MAX_REASON - 4  # at most one character is lost


def test_a_reason_that_is_no_valid_unicode_is_still_sent():
    assert cut_reason("a\ud800b") == "a?b"


CODES = st.one_of(st.integers(0, 0xFFFF), st.integers(995, 1020), st.sampled_from([2999, 3000, 4999, 5000]))
REASONS = st.one_of(
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=6)
)


@given(
    st.one_of(
        st.binary(max_size=2), st.builds(lambda code, reason: code.to_bytes(2) + reason, CODES, REASONS)
    )
)
def test_the_oracle_refuses_the_same_close_payloads(payload):
    try:
        OracleClose.parse(payload)
    except (ProtocolError, UnicodeDecodeError):
        assert "RFC 6455 section " in close_problem(payload)
    else:
        assert close_problem(payload) == ""

"""What uvicorn's other implementations do differently, as measured; each entry is asserted to deviate.

A key names a case, ``test_x[case]``, or a whole function, ``test_x``, all of whose cases deviate (then one of
them is tried). What is not named here passes.
"""

from __future__ import annotations

__all__ = ["DEVIATIONS"]

_LATE = "waits for the end of the frame or message before it looks"
_LONG = "takes a length that is not in its shortest form"
_SILENT = "ends the stream without a close frame"
_HTTP = "is less strict about HTTP, or answers another status"


def _cases(function: str, cases: tuple[str, ...], why: str) -> dict[str, str]:
    return {f"{function}[{case}]": why for case in cases}


_BOTH = {
    "test_a_length_that_is_not_in_its_shortest_form_is_1002": _LONG,
    "test_the_highest_bit_of_a_64_bit_length_is_1002": "another code, or none",
    "test_a_close_frame_in_the_upgrade_requests_segment_is_answered": "cuts it before the accept",
    "test_invalid_text_fails_before_the_message_ends": _LATE,
    "test_invalid_text_fails_before_the_frame_ends": _LATE,
    "test_invalid_text_fails_at_its_first_wrong_byte": _LATE,
    "test_a_chopped_frame_fails_at_its_first_wrong_byte": _LATE,
    "test_a_request_is_accepted_with[Upgrade as a list]": _HTTP,
}

DEVIATIONS: dict[str, dict[str, str]] = {
    "websockets-sansio": {
        **_BOTH,
        "test_a_close_frame_in_the_middle_of_a_message_is_answered": "fails with 1002 instead",
        "test_another_version_is_told_the_right_one": "400 instead of 426",
        **_cases(
            "test_a_request_is_refused_with",
            (
                *("version 8", "version 12", "version 14", "no Connection", "Connection: close", "HTTP/1.0"),
                *("a folded header", "a body", "a chunked body", "extensions that break their grammar"),
                *("a subprotocol offered twice", "a target with a fragment"),
            ),
            _HTTP,
        ),
    },
    "wsproto": {
        **_BOTH,
        **dict.fromkeys(
            (
                *("test_an_invalid_code_is_1002", "test_a_payload_of_one_byte_is_1002"),
                *("test_a_reason_of_more_than_123_bytes_is_1002", "test_a_reason_that_is_not_utf8_is_1007"),
                "test_a_frame_that_is_not_masked_is_1002",
                "test_two_bytes_are_enough_to_see_that_a_frame_is_not_masked",
                "test_a_control_frame_of_more_than_125_bytes_is_1002",
                "test_a_reserved_bit_without_an_extension_is_1002",
                "test_a_reserved_bit_on_a_continuation_is_1002",
                "test_messages_before_a_reserved_bit_have_come_back_and_nothing_after_it_does",
                *("test_a_reserved_opcode_is_1002", "test_messages_before_a_reserved_opcode_have_come_back"),
                "test_a_reserved_opcode_inside_a_message_is_1002",
                *("test_a_control_frame_in_fragments_is_1002", "test_a_continuation_of_nothing_is_1002"),
                "test_a_continuation_after_the_last_fragment_is_1002",
                "test_a_message_inside_a_message_is_1002",
                *("test_invalid_text_is_1007", "test_characters_do_not_run_over_a_messages_end"),
                "test_messages_before_invalid_text_have_come_back",
            ),
            _SILENT,
        ),
        **_cases("test_a_valid_code_comes_back", ("1014-0", "1014-1"), "does not know 1014"),
        "test_a_length_above_the_limit_is_1009_before_its_payload_comes": _LATE,
        "test_frames_in_the_upgrade_requests_segment_are_delivered": "loses what came with the request",
        "test_a_part_of_a_frame_in_the_upgrade_requests_segment_is_delivered": "loses it likewise",
        "test_another_version_is_told_the_right_one[]": "400 instead of 426 for an empty version",
        **_cases(
            "test_a_request_is_refused_with",
            (
                *("an empty key", "a key that is no base64", "a key of 15 bytes", "a key of 17 bytes"),
                *("two keys", "no Connection", "Connection: close", "POST", "PUT", "HEAD", "HTTP/1.0"),
                *("a folded header", "a body", "a chunked body", "extensions that break their grammar"),
                *("a subprotocol that is no token", "a subprotocol offered twice"),
                "a target with a fragment",
            ),
            _HTTP,
        ),
    },
}

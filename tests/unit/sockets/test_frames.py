"""The reader of client frames, without any connection."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_http.sockets.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameError,
    FrameReader,
    close_code,
    close_frame,
    frame,
)
from booking_http.sockets.limits import MESSAGE_SIZE_MAX
from tests.support.websockets import masked

FINAL = 0x80


def test_the_examples_of_the_rfc() -> None:
    """RFC 6455, 5.7."""
    assert frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(PING, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert frame(BINARY, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(BINARY, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    reader = FrameReader()
    assert list(reader.feed(bytes.fromhex("818537fa213d7f9f4d5158"))) == [(TEXT, b"Hello")]


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(TEXT), st.text(max_size=200).map(str.encode)),
            st.tuples(st.just(BINARY), st.binary(max_size=MESSAGE_SIZE_MAX)),
            st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
        ),
        max_size=6,
    ),
    st.binary(min_size=4, max_size=4),
    st.lists(st.integers(1, 400), max_size=30),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[tuple[int, bytes]], mask: bytes, cuts: list[int]
) -> None:
    data = b"".join(masked(FINAL | opcode, payload, mask) for opcode, payload in sent)
    received: list[tuple[int, bytes]] = []
    reader, at = FrameReader(), 0
    for cut in [*cuts, len(data) + 1]:
        received += reader.feed(data[at : at + cut])
        at += cut
    assert received == sent


def test_fragments_make_one_message_and_control_frames_come_between() -> None:
    reader = FrameReader()
    data = (
        masked(TEXT, b"Ol")
        + masked(FINAL | PING, b"?")
        + masked(CONTINUATION, b"\xc3")
        + masked(FINAL | CONTINUATION, b"\xa9!")
        + masked(FINAL | TEXT, b"next")
    )
    assert list(reader.feed(data)) == [
        (CONTINUATION, b""),
        (PING, b"?"),
        (CONTINUATION, b""),
        (TEXT, "Olé!".encode()),
        (TEXT, b"next"),
    ]


WRONG = {
    "not masked": (frame(TEXT, b"x"), 1002),
    "a reserved bit": (masked(FINAL | 0x40 | TEXT), 1002),
    "an unknown kind": (masked(FINAL | 0x3), 1002),
    "an unknown control frame": (masked(FINAL | 0xB), 1002),
    "a ping in pieces": (masked(PING), 1002),
    "a ping of 126 bytes": (masked(FINAL | PING, bytes(126)), 1002),
    "a continuation of nothing": (masked(FINAL | CONTINUATION), 1002),
    "a message inside a message": (masked(TEXT, b"a") + masked(FINAL | TEXT, b"b"), 1002),
    "a short length in a long field": (b"\x81\xfe\x00\x05" + bytes(9), 1002),
    "a short length in the longest field": (b"\x81\xff" + (9).to_bytes(8, "big") + bytes(13), 1002),
    "a negative length": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
    "too big": (masked(FINAL | TEXT, bytes(MESSAGE_SIZE_MAX + 1)), 1009),
    "too big, of which only the head is sent": (b"\x82\xff" + (1 << 40).to_bytes(8, "big"), 1009),
    "too big in pieces": (
        masked(BINARY, bytes(MESSAGE_SIZE_MAX)) + masked(FINAL | CONTINUATION, b"x"),
        1009,
    ),
    "not UTF-8": (masked(FINAL | TEXT, b"\xff"), 1007),
    "not UTF-8 over two pieces": (
        masked(TEXT, b"\xc3") + masked(FINAL | CONTINUATION, b"x"),
        1007,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_its_code(name: str) -> None:
    data, code = WRONG[name]
    reader = FrameReader()
    good = masked(FINAL | TEXT, b"before")
    frames = reader.feed(good + data)
    assert next(frames) == (TEXT, b"before")
    with pytest.raises(FrameError) as raised:
        list(frames)
    assert raised.value.code == code


@given(st.binary(max_size=600), st.lists(st.integers(1, 50), max_size=20))
def test_no_bytes_break_the_reader(data: bytes, cuts: list[int]) -> None:
    """Whatever comes is frames, an error with a code, or the beginning of something."""
    reader, at, code = FrameReader(), 0, 1002
    try:
        for cut in [*cuts, len(data) + 1]:
            for opcode, payload in reader.feed(data[at : at + cut]):
                assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
                assert len(payload) <= MESSAGE_SIZE_MAX
            at += cut
    except FrameError as error:
        code = error.code
    assert code in (1002, 1007, 1009)


def test_close_codes() -> None:
    assert close_code(b"") == 1005
    assert close_code(b"\x03\xe8bye") == 1000
    assert close_code((4321).to_bytes(2, "big")) == 4321
    for payload in (b"\x03", b"\x03\xed", b"\x03\xee", b"\x00\x00", (5000).to_bytes(2, "big")):
        with pytest.raises(FrameError) as raised:
            close_code(payload)
        assert raised.value.code == 1002
    with pytest.raises(FrameError) as raised:
        close_code(b"\x03\xe8\xff")
    assert raised.value.code == 1007


def test_a_reason_that_is_too_long_is_cut_between_characters() -> None:
    data = close_frame(1008, "é" * 100)
    assert len(data) <= 2 + 125
    assert data[4:].decode() == "é" * 61

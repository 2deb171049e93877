"""The load generator's reading of HTTP answers."""

from __future__ import annotations

import pytest

from bench.client import (
    BODY_SIZE_MAX,
    HEAD_SIZE_MAX,
    ProtocolError,
    Response,
    ResponseParser,
)

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"


def fed(*pieces: bytes) -> Response | None:
    parser = ResponseParser()
    response = None
    for piece in pieces:
        assert response is None, "bytes after the answer"
        response = parser.feed(piece)
    return response


def test_an_answer_in_one_piece_is_read_whole() -> None:
    response = fed(PLAIN)
    assert response is not None
    assert (response.status, response.body) == (200, b"hello")
    assert response.header("content-type") == "application/json"


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_an_answer_cut_anywhere_in_two_is_the_same(cut: int) -> None:
    response = fed(PLAIN[:cut], PLAIN[cut:])
    assert response is not None
    assert (response.status, response.body) == (200, b"hello")


def test_an_answer_that_drips_in_byte_by_byte_is_the_same() -> None:
    response = fed(*(PLAIN[i : i + 1] for i in range(len(PLAIN))))
    assert response is not None
    assert response.body == b"hello"


def test_one_parser_reads_answer_after_answer() -> None:
    parser = ResponseParser()
    for _ in range(3):
        assert parser.feed(PLAIN[:30]) is None
        response = parser.feed(PLAIN[30:])
        assert response is not None
        assert response.body == b"hello"


def test_a_field_name_may_be_spelt_in_any_case() -> None:
    response = fed(b"HTTP/1.1 200 OK\r\ncontent-LENGTH:  3 \r\nx-a: b\r\n\r\nabc")
    assert response is not None
    assert response.body == b"abc"
    assert response.header("X-A") == "b"
    assert response.header("X-B") is None


def test_a_field_whose_value_names_content_length_is_not_taken_for_it() -> None:
    response = fed(b"HTTP/1.1 200 OK\r\nX-Note: Content-Length: 99\r\nContent-Length: 2\r\n\r\nok")
    assert response is not None
    assert response.body == b"ok"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_needs_no_length(status: int) -> None:
    response = fed(f"HTTP/1.1 {status} None\r\nETag: x\r\n\r\n".encode())
    assert response is not None
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunked"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "interim"),
        (b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", "without Content-Length"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", "not an HTTP/1.1 answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length is"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", "Content-Length is"),
        (PLAIN + b"H", "1 bytes after the end"),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_SIZE_MAX + 1}\r\n\r\n".encode(), "a body of"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * HEAD_SIZE_MAX, "no end of the header"),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        fed(data)

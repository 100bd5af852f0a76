"""The protocol's promises: what goes in comes out, and what is no message is refused."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import protocol

TEXT = st.text(st.characters(), max_size=20)  # any code point, lone surrogates too: file names can hold them
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    float: NUMBERS,
    int | None: st.none() | st.integers(),
    tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    bool: st.booleans(),
    dict[str, str]: st.dictionaries(TEXT, TEXT, max_size=3),
    dict[str, dict[str, float]]: st.dictionaries(
        TEXT, st.dictionaries(TEXT, NUMBERS, max_size=2), max_size=2
    ),
    dict[str, tuple[float, ...]]: st.dictionaries(TEXT, st.lists(NUMBERS, max_size=3).map(tuple), max_size=3),
    dict[str, Any]: st.dictionaries(TEXT, JSON, max_size=3),
    protocol.FailureKind: st.sampled_from(sorted(protocol.ARTIST_TEXT)),
}


def messages_of(message_type: type[protocol.Message]) -> st.SearchStrategy[protocol.Message]:
    hints = get_type_hints(message_type)
    values = {item.name: STRATEGIES[hints[item.name]] for item in fields(message_type)}
    if "protocol_version" in values:
        values["protocol_version"] = st.just(protocol.PROTOCOL_VERSION)
    return st.builds(message_type, **values)


MESSAGES = st.one_of(*map(messages_of, protocol.MESSAGE_TYPES.values()))
REQUEST = protocol.AnimateRequest("1", "folder", "default", ("happiness",), 0.8, "ease", 40, 24.0, 3)


@given(MESSAGES)
def test_every_message_survives_the_round_trip(message: protocol.Message) -> None:
    line = protocol.encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert protocol.decode(line) == message


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_lines_are_found_however_the_stream_is_cut(messages: list[protocol.Message], cuts: list[int]) -> None:
    stream, buffer, lines = b"".join(map(protocol.encode, messages)), protocol.LineBuffer(), list[bytes]()
    while stream:
        for size in cuts:
            piece, stream = stream[:size], stream[size:]
            lines += buffer.feed(piece)
    assert [protocol.decode(line) for line in lines] == messages


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_noise_is_a_protocol_error_or_a_message(line: bytes) -> None:
    try:
        message = protocol.decode(line)
    except protocol.ProtocolError:
        return
    assert type(message) in protocol.MESSAGE_TYPES.values()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_never_sent(number: float) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.encode(protocol.Done("1", {}, seconds=number, seed=0))
    with pytest.raises(protocol.ProtocolError):
        protocol.encode(protocol.Done("1", {}, 0.0, 0, info={"nested": [{"residual_mm": number}]}))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "1" + 400 * "0"])
def test_numbers_that_are_not_finite_are_never_read(literal: str) -> None:
    line = f'{{"type": "done", "job": "1", "paths": {{}}, "seconds": {literal}, "seed": 0}}'
    with pytest.raises(protocol.ProtocolError):
        protocol.decode(line.encode())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not a line of JSON"),
        (b"Segmentation fault", "not a line of JSON"),
        (b"\xff\xfe", "not a line of JSON"),
        (b"[" * 100_000, "not a line of JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"type": "sudo"}', "unknown message type"),
        (b'{"type": ["cancel"], "job": "1"}', "unknown message type"),
        (b'{"type": "cancel"}', "incomplete"),
        (b'{"type": "cancel", "job": 1}', "cancel.job cannot be 1"),
        (b'{"type": "cancel", "job": "1", "why": "late"}', "unknown fields: why"),
        (b'{"type": "failed", "job": "1", "kind": "bored", "message": ""}', "failed.kind cannot be 'bored'"),
        (
            b'{"type": "progress", "job": "1", "phase": "sample", "step": true, "steps": 2}',
            "progress.step cannot",
        ),
        (
            b'{"type": "progress", "job": "1", "phase": "sample", "step": 1.5, "steps": 2}',
            "progress.step cannot",
        ),
    ],
)
def test_what_is_no_message_is_refused_with_its_reason(line: bytes, reason: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=reason):
        protocol.decode(line)


@pytest.mark.parametrize(
    "field", [{"seed": "3"}, {"frames": 40.5}, {"intensity": None}, {"expressions": "joy"}]
)
def test_a_wrongly_typed_request_is_refused_by_the_sender(field: dict[str, Any]) -> None:
    values = {item.name: getattr(REQUEST, item.name) for item in fields(REQUEST)}
    with pytest.raises(protocol.ProtocolError, match=f"animate.{next(iter(field))}"):
        protocol.encode(protocol.AnimateRequest(**(values | field)))


@pytest.mark.parametrize(
    "line",
    [b'{"type": "hello", "protocol_version": 99, "gpu": "all"}', b'{"type": "ready", "protocol_version": 0}'],
)
def test_another_version_is_told_apart_from_noise(line: bytes) -> None:
    with pytest.raises(protocol.VersionMismatchError, match="version"):
        protocol.decode(line)


def test_lines_without_end_are_refused() -> None:
    with pytest.raises(protocol.ProtocolError, match="limit"):
        protocol.encode(protocol.Failed("1", "internal", "", detail="x" * protocol.LINE_LIMIT))
    buffer = protocol.LineBuffer()
    assert buffer.feed(b"x" * protocol.LINE_LIMIT) == []
    with pytest.raises(protocol.ProtocolError, match="limit"):
        buffer.feed(b"x")


def test_every_kind_of_failure_tells_the_artist_what_to_do() -> None:
    kinds = {"setup", "input", "out_of_memory", "checkpoint", "internal", "died", "protocol"}
    assert set(protocol.ARTIST_TEXT) == kinds
    assert len(set(protocol.ARTIST_TEXT.values())) == len(kinds)


def test_fingerprint_is_the_count_and_the_hash_of_the_edges() -> None:
    edges = struct.pack("<6i", 0, 1, 0, 2, 1, 2)
    assert protocol.fingerprint(3, edges) == f"3-{hashlib.sha256(edges).hexdigest()[:32]}"
    assert protocol.fingerprint(4, edges) != protocol.fingerprint(3, edges)
    with pytest.raises(ValueError, match="whole edges"):
        protocol.fingerprint(3, edges[:-4])

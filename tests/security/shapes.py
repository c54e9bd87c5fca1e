"""Read the answers that take the longest to read, each as large as an answer may be.

`python -m tests.security.shapes`: a line of JSON on stdout: by name, how many times as long it took
as `reference`; under `memory` the most MiB that were taken.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial

from modelslab_async._engine.http import MAX_ANSWER_BYTES
from modelslab_async._engine.secret import Secret
from modelslab_async._protocol.replies import read_reply
from modelslab_async._protocol.wire_json import MAX_VALUES

from .bounded import MIB, forgotten, highest, reference, seconds

KEY = "shapes-0123456789abcdefghijklmnopqrstuvw"
LIMIT = 20
"""One answer may take as long as 20 times the `reference`: about 0.9 s of a processor of 2023."""


def filled(head: str, unit: str, tail: str, signs: int) -> bytes:
    """As many units as there may be signs of this JSON, then one text up to the largest size."""
    count = min((MAX_VALUES - 10) // signs, (MAX_ANSWER_BYTES - 200) // len(unit.encode()))
    body = f'{{"pad": "%", {head}{unit * count}{tail}}}'.encode()
    pad = b"\\u0041" * ((MAX_ANSWER_BYTES - len(body)) // 6)
    return body.replace(b"%", pad, 1)


def _words(unit: str, signs: int) -> bytes:
    return filled('"status": "error", "message": [', unit, "0]", signs)


def _links(unit: str, signs: int) -> bytes:
    return filled('"status": "success", "id": 7, "output": [', unit, "0]", signs)


def _names(count: int) -> str:
    return "".join(f'"{number:x}":0,' for number in range(count))


SHAPES: dict[str, Callable[[], bytes]] = {
    "numbers": lambda: _links("7,", 1),
    "long numbers": lambda: _links("9" * 19 + ",", 1),
    "numbers too long": lambda: _links("9" * 38 + ",", 1),
    "fractions": lambda: _links("0.123456789012345678,", 1),
    "no numbers": lambda: _links("NaN,", 1),
    "lists": lambda: _links("[],", 2),
    "objects": lambda: _links('{"":0},', 2),
    "objects with a link": lambda: _links('{"url":"x"},', 2),
    "links": lambda: _links('"https://cdn.example.com/a",', 1),
    "words": lambda: _words('"no",', 1),
    "words in lists": lambda: _words('["no"],', 2),
    "words deep inside": lambda: _words('[[["no"]]],', 4),
    "deep lists": lambda: _links("[" * 60 + "]" * 60 + ",", 61),
    "halves of pairs": lambda: _links('"\\ud800",', 1),
    "halves of pairs in lists": lambda: _links('["\\ud800"],', 2),
    "one name for all": lambda: filled("", '"a":0,', '"b":0', 1),
    "a name for each": lambda: filled("", _names(MAX_VALUES - 10), '"z":0', MAX_VALUES - 10),
    "escapes": lambda: b'"' + b"\\u0041" * (MAX_ANSWER_BYTES // 6) + b'"',
    "half a pair and letters": lambda: b'"\\ud800' + b"a" * (MAX_ANSWER_BYTES - 8) + b'"',
    "wide letters": lambda: b'"' + "\U0001f3b5".encode() * (MAX_ANSWER_BYTES // 4 - 1) + b'"',
    "one wide letter": lambda: '"\U0001f3b5'.encode() + b"\\n" * (MAX_ANSWER_BYTES // 2 - 4) + b'"',
    "one number": lambda: b"9" * MAX_ANSWER_BYTES,
    "one fraction": lambda: b"0." + b"9" * (MAX_ANSWER_BYTES - 2),
    "an exponent": lambda: b"1e" + b"9" * (MAX_ANSWER_BYTES - 2),
    "white space": lambda: b" " * (MAX_ANSWER_BYTES - 2) + b"{}",
    "too many values": lambda: b"[" + b"[]," * (MAX_ANSWER_BYTES // 3) + b"0]",
    "levels": lambda: b"[" * 100_000,
    "no end of an id": lambda: b'{"id":' + b" " * (MAX_ANSWER_BYTES - 6),
    "ids and no value": lambda: b"{" + b'"id": ' * (MAX_ANSWER_BYTES // 6),
    "out of what": lambda: b"out of " + b"a " * (MAX_ANSWER_BYTES // 2 - 4),
    "waits": lambda: b"wait for " * (MAX_ANSWER_BYTES // 9),
    "a page": lambda: b"<" * MAX_ANSWER_BYTES,
    "keys": lambda: (f'{{"message": "{KEY * (MAX_ANSWER_BYTES // 40 - 1)}"}}').encode(),
    "halves of keys": lambda: KEY[:39].encode() * (MAX_ANSWER_BYTES // 39),
    "no text": lambda: b"\xff" * MAX_ANSWER_BYTES,
}


def times() -> Iterator[tuple[str, float]]:
    """How long the key is taken out and the answer is read, by the time of the `reference`.

    What is above the limit is measured again: others on the same processor make it larger only.
    """
    secret, alone = Secret(KEY), reference()
    for name, make in SHAPES.items():
        body = make()
        read = partial(lambda body: read_reply(secret.redact(body)), body)
        ratio = seconds(read) / alone
        for _ in range(2):
            if ratio > LIMIT:
                ratio = min(ratio, seconds(read) / reference())
        yield name, ratio


if __name__ == "__main__":
    before = forgotten()
    found = dict(times())
    sys.stdout.write(json.dumps({**found, "limit": LIMIT, "memory": (highest() - before) / MIB}))

"""What mutation begins with, and the words that it mixes in."""

from __future__ import annotations

from pathlib import Path

import orjson
import wire_samples

WORDS = {
    "reply": (
        *('"embeddings":', '"data":', '"index":0', '"embedding":', '"error":', '"detail":'),
        *('"message":', '"loc":', '"msg":', '"model_type":', '"max_client_batch_size":32', "[["),
        *("]]", "null", "NaN", "Infinity", "1e999", "-0.5", "0.25,", "e-7", "3.5e38", "<title>"),
        *("</title>", "maximum allowed batch size 32", "retry-after: ", "location: http://[x"),
        *("endpoint is paused", "missing field", "AACAPw==", "\\ud800", "\x1f\x8b"),
    ),
    "wait": (
        *("retry-after: ", "ratelimit: ", "date: ", '"api";r=0;t=5', ";r=0", ";t=9", "1e400"),
        *("Thu, 09 Oct 2025 12:00:30 GMT", "Thursday, 09-Oct-25 12:00:30 GMT", "-0000", "+9999"),
        *('{"estimated_time":', "20.0}", "-1", "99999999999999999999"),
    ),
    "text": (
        *(
            ". ",
            "? ",
            "!!! ",
            "Dr. ",
            "e.g. ",
            "J. ",
            "U.S. ",
            "Ph.D. ",
            "3. ",
            "...",
            '." ',
            ".) ",
        ),
        *("\u2019", "\u201d ", "\xa0", "\u3002", "\x1c", "\x85", "[3]", "-- ", "x-Dr. ", ".) "),
    ),
}


def seeds(law: str) -> dict[str, bytes]:
    """Something to begin with, by the name of its file."""
    if law == "text":
        book = (Path(__file__).parents[3] / "examples/data/alice_in_wonderland.txt").read_bytes()
        return {f"book-{at}": b"a" + book[at : at + 600] for at in range(0, 60_000, 3000)}
    if law == "wait":
        spellings = ("120", "1.5", "Thu, 09 Oct 2025 12:00:30 GMT", "soon")
        found = {f"after-{n}": f"Retry-After: {one}" for n, one in enumerate(spellings)}
        found["rate"] = 'RateLimit: "api";r=0;t=55, "other";r=5;t=7'
        found["body"] = "\n\n" + '{"error":"loading","estimated_time":20.0}'
        return {name: one.encode() for name, one in found.items()}
    rows = [[0.25, -1.5e-3], [1.0, 2.0]]
    answers = (rows, {"embeddings": rows}, wire_samples.openai_body(rows))
    answers += (wire_samples.openai_body([wire_samples.b64(row) for row in rows], order=[1, 0]),)
    found = {f"good-{n}": b"200 2\n\n" + orjson.dumps(one) for n, one in enumerate(answers)}
    for number, (_, reply, *_) in enumerate(wire_samples.FAILURES):
        head = "".join(f"\n{name}: {value}" for name, value in reply.headers.items())
        found[f"failure-{number}"] = f"{reply.status} 2{head}\n\n".encode() + reply.body
    info = {"model_id": "a/b", "model_type": {"embedding": {"pooling": "cls"}}, "version": "1.9"}
    info |= {"max_client_batch_size": 32, "max_concurrent_requests": 512, "max_input_length": 256}
    found["info"] = b"200 1\n\n" + orjson.dumps(info)
    return found

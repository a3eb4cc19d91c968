"""Four processes that put, update and delete in one registry until they are killed.

Started as a script: it forks the writers, so that a round costs no imports. Each says on its pipe
what it is about to do and that it is done; what was said to be done must be there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time

from langchain_hf_endpoint import EndpointExistsError, InferenceEndpoints, UnknownEndpointError

WRITERS = 4
CHANGES = 50  # by each: 200 in all
LEAST_ROUNDS = 3  # however slow the machine is
SHARED = ("shared-1", "shared-2")


def settings(mark):
    """Settings that show in three places which change they are of."""
    return {
        "service_settings": {
            "url": f"https://example.org/{mark}",
            "api_key": f"hf_{mark}",
            "max_batch_size": mark,
        }
    }


def change(endpoints, kind, name, mark):
    if kind == "put":
        endpoints.put(
            inference_id=name,
            inference_config=settings(mark),
            skip_validation=True,
            allow_model_change=True,
        )
    elif kind == "update":
        new = {"service_settings": {"max_concurrent_requests": mark}}
        endpoints.update(inference_id=name, inference_config=new)
    else:
        endpoints.delete(inference_id=name)


def write(path, writer, seed, pipe):
    """Change own names and shared ones at random, in a process of its own."""
    dice = random.Random(seed)
    own = [f"own-{writer}-{number}" for number in range(5)]
    with InferenceEndpoints(path) as endpoints:
        for number in range(1, CHANGES + 1):
            kind = dice.choice(("put", "put", "update", "delete"))
            name = dice.choice((*own, *SHARED))
            said = [kind, name, 1000 * (writer + 1) + number]
            os.write(pipe, json.dumps(["about", *said]).encode() + b"\n")
            try:
                change(endpoints, *said)
                outcome = "done"
            except (EndpointExistsError, UnknownEndpointError):
                outcome = "refused"
            os.write(pipe, json.dumps([outcome, *said]).encode() + b"\n")


def start(path, writer, seed):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(reading)
            write(path, writer, seed, writing)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    return pid, reading


def told(pipe):
    """What a writer said, as far as it came."""
    with os.fdopen(pipe, "rb") as file:
        return [json.loads(line) for line in file.read().splitlines()]


def possible_states(said):
    """Of each own name the states in which its last change may have left it."""
    states = {}
    for what, kind, name, mark in said:
        now = states.get(name, [None])
        after = applied(kind, mark, now[0])
        if what == "about":
            states[name] = [now[0], after]
        else:
            states[name] = [after if what == "done" else now[0]]
    return states


def applied(kind, mark, state):
    if kind == "put":
        return {"mark": mark, "updated": None} if state is None else state
    if kind == "update":
        return state and {**state, "updated": mark}
    return None


def found_state(endpoints, name):
    if name not in endpoints:
        return None
    service = endpoints[name].service_settings
    mark = service.max_batch_size
    assert service.url == f"https://example.org/{mark}", "half a put"
    assert service.find_key().get_secret_value() == f"hf_{mark}", "a key of another put"
    return {"mark": mark, "updated": service.max_concurrent_requests}


def check(path, said):
    """Open the file as the next program would and hold it against what was said."""
    with InferenceEndpoints(path) as endpoints:
        for writer, lines in enumerate(said):
            own = [line for line in lines if line[2].startswith(f"own-{writer}-")]
            for name, states in possible_states(own).items():
                found = found_state(endpoints, name)
                assert found in states, f"{name}: {found} is none of {states}"
        for name in SHARED:
            found_state(endpoints, name)
        check_shared(endpoints, [line for lines in said for line in lines])
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def check_shared(endpoints, lines):
    """Puts and deletes of one name take turns, so their numbers differ by what is there."""
    for name in SHARED:
        sure, maybe = 0, 0
        for what, kind, of, _ in lines:
            step = {"put": 1, "delete": -1}.get(kind, 0) if of == name else 0
            sure += step * (what == "done")
            maybe += abs(step) * ({"about": 1}.get(what, -1))
        assert abs(sure - (name in endpoints)) <= maybe, name


def round_of(path, dice, kill_within):
    """One round in a new file; returns what each writer said, how it ended and how long it took."""
    began = time.monotonic()
    writers = [start(path, number, dice.random()) for number in range(WRITERS)]
    if kill_within is not None:
        time.sleep(dice.uniform(0, kill_within))
        for pid, _ in writers:
            os.kill(pid, signal.SIGKILL)
    # Few lines: they fit into the pipes, so that nobody waits for a reader.
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in writers]
    assert set(codes) <= ({0} if kill_within is None else {0, -signal.SIGKILL}), codes
    return [told(pipe) for _, pipe in writers], codes, time.monotonic() - began


def main(folder, seconds, seed):
    """Round after round in new files; prints how many there were and how many changes were done."""
    dice = random.Random(seed)
    until = time.monotonic() + seconds
    said, _, duration = round_of(f"{folder}/whole.db", dice, None)
    assert sum(line[0] != "about" for lines in said for line in lines) == WRITERS * CHANGES
    check(f"{folder}/whole.db", said)
    rounds = done = killed = 0
    while rounds < LEAST_ROUNDS or not (done and killed) or time.monotonic() < until:
        path = f"{folder}/{rounds}.db"
        said, codes, _ = round_of(path, dice, duration)
        check(path, said)
        rounds += 1
        done += sum(line[0] == "done" for lines in said for line in lines)
        killed += sum(code != 0 for code in codes)
    sys.stdout.write(json.dumps({"rounds": rounds, "done": done, "killed": killed}))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))

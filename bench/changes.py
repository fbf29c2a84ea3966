"""Endpoint changes while a server runs: the slices that cluster.py lists in changes.json, each in
turn from what it was to what it becomes and, the next time, back. Into a folder that a server
follows, or by the API server of fakeapi.py."""

import json
import os
import socket
import time
import urllib.request

import process

SHOWN_SECONDS = 10  # until a change must be seen
STEP = 0.0005


def listed(world):
    return json.loads((world / "changes.json").read_text())


def pace(make, count, rate=0, first=0):
    """make(number) for count numbers from first on, rate a second (0: all at once); what falls
    behind is made up for. When it began and ended, by the clock that all processes share."""
    since = time.monotonic()
    for i in range(count):
        while rate and (left := since + i / rate - time.monotonic()) > 0:
            time.sleep(min(left, STEP))
        make(first + i)
    return {"made": count, "since": since, "until": time.monotonic()}


class FolderChanges:
    """Renames each file into place, as all tools do that care for readers."""

    def __init__(self, world):
        self.world, self.entries = world, listed(world)
        self.texts = [[(world / state / entry["file"]).read_bytes() for state in ("before", "after")]
                      for entry in self.entries]

    def make(self, number):
        turn, which = divmod(number, len(self.entries))
        spare = self.world / "spare"
        spare.write_bytes(self.texts[which][(turn + 1) % 2])
        os.rename(spare, self.world / "changing" / self.entries[which]["file"])

    def pace(self, count, rate=0, first=0):
        return pace(self.make, count, rate, first)

    def reset(self):
        for which in range(len(self.entries)):
            self.make(which + len(self.entries))


class ApiChanges:
    """The same, made by fakeapi.py."""

    def __init__(self, world, port):
        self.entries, self.port = listed(world), port

    def post(self, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=b"")
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def pace(self, count, rate=0, first=0):
        return self.post(f"/bench/changes?count={count}&rate={rate}&first={first}")

    def reset(self):
        self.post("/bench/reset")


def state_after(entries, made):
    """For each name the address that it has, and the one that it has not, after so many changes."""
    for which, entry in enumerate(entries):
        turns = (made - which + len(entries) - 1) // len(entries) if made > which else 0
        has, gone = (("after", "before") if turns % 2 else ("before", "after"))
        yield entry["name"], entry[has], entry[gone]


def shows(asker, name, has, gone):
    try:
        asker.send(process.query_packet(name))
        answer = asker.recv(65535)
    except (TimeoutError, ConnectionRefusedError):
        return False
    address = b"\x00\x04" + socket.inet_aton(gone)
    return process.is_right(answer, [has]) and address not in answer


def open_asker(port):
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.connect(("127.0.0.1", port))
    asker.settimeout(0.2)
    return asker


def wait_shown(asker, name, has, gone):
    """When the answer has the one address and no longer the other."""
    until = time.monotonic() + SHOWN_SECONDS
    while time.monotonic() < until:
        if shows(asker, name, has, gone):
            return time.monotonic()
    raise process.StartError(f"{name}: a change was not seen within {SHOWN_SECONDS} s")


def all_shown(port, entries, made):
    """Until every name is what it must be after the last change; the newest change comes first, as
    the others were made before it. Returns when that one was seen and when all had been asked."""
    states = list(state_after(entries, made))
    last = (made - 1) % len(entries)
    with open_asker(port) as asker:
        seen = wait_shown(asker, *states[last])
        for state in states:
            done = wait_shown(asker, *state)
    return seen, max(seen, done)

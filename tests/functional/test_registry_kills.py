"""kill -9 while clients write: what was acknowledged is there, and clients go on.

REGISTRY_KILLS says how often (200 for a thorough run), TMPDIR on which file system. With -rP the figures are shown."""
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time

from registry_world import Registry, config_map

KILLS = int(os.environ.get("REGISTRY_KILLS", "10"))
WRITERS = 4
# A process that is killed while it waits for the disk ends when the disk has answered.
DEAD_SECONDS = 300
RESUME_SECONDS = 120
PATHS = {"POST": "application/json", "PATCH": "application/merge-patch+json", "DELETE": "application/json"}


class Writer(threading.Thread):
    """One connection that creates, changes and deletes; what was acknowledged is noted when the answer has come."""

    def __init__(self, registry, prefix):
        super().__init__()
        self.registry, self.prefix = registry, prefix
        self.acknowledged, self.unsure, self.count, self.wrong = {}, None, 0, None

    def run(self):
        try:
            connection = self.registry.connect()
            for n in range(100000):
                self.write_one(connection, "%s-%d" % (self.prefix, n), n % 3 == 2)
        except (OSError, http.client.HTTPException):
            return  # it was killed

    def write_one(self, connection, name, delete):
        path = self.registry.path("ConfigMap")
        steps = [("POST", path, config_map(name, x="1"), "1"), ("PATCH", path + "/" + name, {"data": {"x": "2"}}, "2"),
                 ("DELETE", path + "/" + name, None, None)]
        for method, where, body, value in steps[:3 if delete else 2]:
            self.unsure = name
            reply = self.registry.send(connection, method, where, body, kind=PATHS[method])
            reply.read()
            if reply.status >= 300:
                self.wrong = "%s %s: %d" % (method, where, reply.status)
            self.acknowledged[name], self.unsure = value, None
            self.count += 1


class Follower(threading.Thread):
    """A client that lists and watches, as client libraries do: it goes on from its revision, and lists anew when that
    is gone."""

    def __init__(self, registry):
        super().__init__(daemon=True)
        self.registry, self.over = registry, False
        self.seen, self.revision, self.lists, self.wrong = {}, None, 0, None

    def run(self):
        while not self.over:
            try:
                self.follow()
            except (OSError, http.client.HTTPException, json.JSONDecodeError):
                time.sleep(0.01)

    def follow(self):
        if self.revision is None:
            found = self.registry.list("ConfigMap")
            self.seen = {i["metadata"]["name"]: i["data"]["x"] for i in found["items"]}
            self.revision = found["metadata"]["resourceVersion"]
            self.lists += 1
        with self.registry.watch("ConfigMap", resourceVersion=self.revision, allowWatchBookmarks="true") as watch:
            while not self.over:
                event = watch.next()
                if event is None:
                    return
                self.take(*event)

    def take(self, kind, thing):
        if kind == "ERROR":
            self.revision = None if thing["code"] == 410 else self.revision
            self.wrong = self.wrong or (thing if thing["code"] != 410 else None)
            return
        if int(thing["metadata"]["resourceVersion"]) <= int(self.revision):
            self.wrong = "revision %s after %s" % (thing["metadata"]["resourceVersion"], self.revision)
        self.revision = thing["metadata"]["resourceVersion"]
        if kind == "DELETED":
            self.seen.pop(thing["metadata"]["name"], None)
        elif kind != "BOOKMARK":
            self.seen[thing["metadata"]["name"]] = thing["data"]["x"]


def kill(registry):
    registry.process.send_signal(signal.SIGKILL)
    registry.process.wait(DEAD_SECONDS)


def write_and_kill(registry, turn):
    """The writers of this turn, once the process is dead."""
    writers = [Writer(registry, "t%d-%d" % (turn, n)) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(random.uniform(0.02, 0.2))
    kill(registry)
    for writer in writers:
        writer.join()
        assert not writer.wrong, writer.wrong
    return writers


def check(writers, there, turn):
    """All that was acknowledged is there, and nothing that nobody wrote."""
    unsure = {w.unsure for w in writers}
    known = set()
    for writer in writers:
        for name, value in writer.acknowledged.items():
            known.add(name)
            if name not in unsure:
                assert there.get(name) == value, (turn, name, value)
            else:  # the step after the acknowledged one may have been done, or not
                assert there.get(name) in {"1": ("1", "2"), "2": ("2", None)}.get(value, (None,)), (turn, name, value)
    assert set(there) <= known | unsure


def file_system(folder):
    return subprocess.check_output(["stat", "-f", "-c", "%T", str(folder)], text=True).strip()


def test_kills_under_writes(signpost, tmp_path):
    """REGISTRY_KILLS times kill -9 while four clients write and one follows."""
    registry, total, away, resumed = Registry(signpost, tmp_path, "--controllers=false"), 0, [], []
    with registry:
        follower = Follower(registry)
        follower.start()
        for turn in range(KILLS):
            writers = write_and_kill(registry, turn)
            dead = time.monotonic()
            registry.start()
            away.append(time.monotonic() - dead)
            total += sum(w.count for w in writers)
            there = {i["metadata"]["name"]: i["data"]["x"] for i in registry.list("ConfigMap")["items"]}
            check(writers, there, turn)
            while follower.seen != there:
                assert time.monotonic() < dead + RESUME_SECONDS, (turn, set(follower.seen) ^ set(there))
                time.sleep(0.002)
            resumed.append(time.monotonic() - dead)
            registry.call("DELETE", registry.path("ConfigMap"))
        follower.over = True
        assert not follower.wrong, follower.wrong
    away.sort()
    resumed.sort()
    print("%d kills on %s: %d writes acknowledged, none lost; serves again after %.0f ms (median; at most %.0f); the "
          "client has all after %.0f ms (at most %.0f), with %d lists" % (
              KILLS, file_system(tmp_path), total, away[KILLS // 2] * 1e3, away[-1] * 1e3, resumed[KILLS // 2] * 1e3,
              resumed[-1] * 1e3, follower.lists))

"""What `signpost dns` gives up, as the kernel sees it, and that it still does all it has to."""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest

from dns_world import Server, free_port, http_get, query, run_until_end, write_whole
from dnssec_world import Key
from forward_world import Upstream, reply

NOBODY = 65534
BIND_SERVICE = 1 << 10 # CAP_NET_BIND_SERVICE
CLONE_NEWNET = 0x40000000
WHOAMI = ".:@PORT@ {\n    bind 127.0.0.1\n    whoami\n}\n"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def folder():
    """One that every user can look into, which a pytest folder is not."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="signpost-guard-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def status(pid):
    """/proc/PID/status of each thread."""
    found = []
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        lines = (task / "status").read_text().splitlines()
        found.append({k: v.split() for k, _, v in (line.partition(":") for line in lines)})
    return found


def is_sanitized(server):
    return "left out in a build with a sanitizer" in server.log()


def check_given_up(server, uid, capabilities, seccomp=2):
    """The pages' thread and the workers' too."""
    if is_sanitized(server):
        seccomp = 0
    threads = status(server.process.pid)
    assert len(threads) > 1
    for thread in threads:
        assert thread["Uid"] == [str(uid)] * 4
        assert int(thread["CapEff"][0], 16) == int(thread["CapPrm"][0], 16) == capabilities
        assert int(thread["CapInh"][0], 16) == int(thread["CapAmb"][0], 16) == 0
        assert thread["NoNewPrivs"] == ["1"]
        assert thread["Seccomp"] == [str(seccomp)]
        if os.geteuid() == 0:
            assert int(thread["CapBnd"][0], 16) == 0


def refusals(port):
    return re.findall(r"^signpost_syscalls_refused_total (\d+)$", http_get(port, "/metrics")[1], re.M)


PAGES = WHOAMI.replace("whoami", "whoami\n    health 127.0.0.1:@PORT2@\n    prometheus 127.0.0.1:@PORT3@")


def test_as_it_is_started(signpost, folder):
    """Root stays root, without root's capabilities; anybody else had none."""
    own = BIND_SERVICE if os.geteuid() == 0 else 0
    with Server(signpost, folder, PAGES, "-workers", "2") as s:
        check_given_up(s, os.geteuid(), own)
        assert s.ask("a.test.").answer == []
        assert http_get(s.numbered(2), "/health")[0] == 200
        assert refusals(s.numbered(3)) == ([] if is_sanitized(s) else ["0"])
        missing = re.findall(r"guard: (.*?): not to be had: (.*)", s.log())
        if os.geteuid() == 0 and not is_sanitized(s):
            assert [m for m in missing if "Landlock" not in m[1]] == []


@root_only
@pytest.mark.parametrize("user, gid", [("nobody", NOBODY), ("65534", NOBODY), ("nobody:7", 7)])
def test_as_another_user(signpost, folder, user, gid):
    with Server(signpost, folder, PAGES, "-user", user) as s:
        check_given_up(s, NOBODY, BIND_SERVICE)
        assert all(t["Gid"] == [str(gid)] * 4 and t["Groups"] == [] for t in status(s.process.pid))
        assert len(s.ask("a.test.").additional) == 2
        if not is_sanitized(s): # not even by its own user
            look = "import os; os.setgroups([]); os.setgid(%d); os.setuid(65534);" \
                   "open('/proc/%d/environ').read()" % (gid, s.process.pid)
            ran = subprocess.run(["/usr/bin/python3", "-c", look], stderr=subprocess.PIPE, check=False)
            assert b"PermissionError" in ran.stderr


def test_without_seccomp(signpost, folder):
    with Server(signpost, folder, PAGES, "-no-seccomp") as s:
        check_given_up(s, os.geteuid(), BIND_SERVICE if os.geteuid() == 0 else 0, seccomp=0)
        if not is_sanitized(s):
            s.wait_log("guard: list of system calls: left out, as -no-seccomp says")
        assert len(s.ask("a.test.").additional) == 2


@pytest.mark.parametrize("user, says", [
    ("there-is-none", 'there is no such user'), ("1:x", "behind the colon stands a GID")])
def test_users_that_are_none(signpost, folder, user, says):
    code, text = run_until_end(signpost, folder, ".:%d {\n}\n" % free_port(), "-user", user)
    assert code == 1 and says in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root can become any user")
def test_only_root_becomes_another(signpost, folder):
    code, text = run_until_end(signpost, folder, ".:%d {\n}\n" % free_port(), "-user", "1")
    assert code == 1 and "cannot become user 1, group 1: Operation not permitted" in text


@root_only
def test_files_of_root_are_refused_at_the_start(signpost, folder):
    """And not only by the first reload."""
    (folder / "hosts").write_text("192.0.2.1 a.test\n")
    (folder / "hosts").chmod(0o600)
    (folder / "Corefile").write_text("import part\n")
    (folder / "part").write_text(".:%d {\n    whoami\n}\n" % free_port())
    (folder / "part").chmod(0o600)
    ran = subprocess.run([signpost, "dns", "-conf", "Corefile", "-user", "nobody"], cwd=folder,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20,
                         check=False)
    assert ran.returncode == 1 and "ermission denied" in ran.stdout


@root_only
def test_pidfile(signpost, folder):
    """In a folder where the user may not make or remove files."""
    pidfile = folder / "pid"
    with Server(signpost, folder, WHOAMI, "-user", "nobody", "-pidfile", str(pidfile)) as s:
        end = time.monotonic() + 5
        while not pidfile.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        assert int(pidfile.read_text()) == s.process.pid
        assert s.stop() == 0
    assert pidfile.read_text() == ""


def test_pidfile_is_removed(signpost, folder):
    pidfile = folder / "pid"
    with Server(signpost, folder, WHOAMI, "-pidfile", str(pidfile)) as s:
        end = time.monotonic() + 5
        while not pidfile.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert s.stop() == 0
    assert not pidfile.exists()


# ---- a small port, in a network of the test's own ----

def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 1)) # SIOCSIFFLAGS, IFF_UP


def in_own_network(function, *args):
    """A thread there, and the programs that it starts. Nothing of the machine's network is seen."""
    failed = []

    def run():
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWNET) != 0:
                failed.append(OSError(ctypes.get_errno(), "unshare"))
                return
            loopback_up()
            function(*args)
        except BaseException as e: # pytest's failures are BaseExceptions
            failed.append(e)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed and isinstance(failed[0], OSError) and failed[0].strerror == "unshare":
        pytest.skip("no network namespace can be made here: %s" % failed[0])
    if failed:
        raise failed[0]


def reload_adds_a_small_port(signpost, folder):
    block = ".:%d {\n    bind 127.0.0.1\n    whoami\n}\n"
    with Server(signpost, folder, block % 53 + "# @PORT@", "-user", "nobody", ports=[53]) as s:
        check_given_up(s, NOBODY, BIND_SERVICE)
        assert len(s.ask("a.test.").additional) == 2
        write_whole(s.path, block % 53 + block % 54)
        s.process.send_signal(signal.SIGUSR1)
        s.wait_log("Reloading complete")
        assert len(s.ask("a.test.", port=54).additional) == 2
        assert len(s.ask("a.test.", port=54, tcp=True).additional) == 2
        check_given_up(s, NOBODY, BIND_SERVICE)


@root_only
def test_reload_adds_a_small_port(signpost, folder):
    in_own_network(reload_adds_a_small_port, signpost, folder)


# ---- what a server does later on ----

ZONE = "$ORIGIN a.test.\n@ 60 IN SOA ns hm %d 1 1 1 1\n@ 60 IN NS ns\nwww 60 IN A 192.0.2.%d\n"
LATER = """.:@PORT@ {
    bind 127.0.0.1
    errors
    log
    prometheus 127.0.0.1:@PORT2@
    forward . 127.0.0.1:%d
    cache 1
}
a.test.:@PORT@ {
    bind 127.0.0.1
    file @DIR@/zone {
        reload 1s
    }
}
h.test.:@PORT@ {
    bind 127.0.0.1
    hosts @DIR@/hosts {
        reload 20ms
    }
}
cluster.local:@PORT@ {
    bind 127.0.0.1
    kubernetes {
        manifests @DIR@/manifests
    }
    rewrite name regex (.*)\\.x\\.cluster\\.local {1}.default.svc.cluster.local
}
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.%d, ports: [{port: 80}]}
"""


def change_all(server, folder):
    write_whole(folder / "zone", ZONE % (2, 2))
    write_whole(folder / "hosts", "192.0.2.12 www.h.test\n")
    write_whole(folder / "manifests" / "web.yaml", SERVICE % 2)
    server.until("web.default.svc.cluster.local.", ["10.96.0.2"], 5)
    server.until("web.x.cluster.local.", ["10.96.0.2"], 5)
    server.until("www.h.test.", ["192.0.2.12"], 5)
    server.until("www.a.test.", ["192.0.2.2"], 10)


def test_files_change_and_upstreams_answer(signpost, folder):
    (folder / "manifests").mkdir(mode=0o755)
    (folder / "zone").write_text(ZONE % (1, 1))
    (folder / "hosts").write_text("192.0.2.11 www.h.test\n")
    (folder / "manifests" / "web.yaml").write_text(SERVICE % 1)
    more = ("-user", "nobody") if os.geteuid() == 0 else ()
    with contextlib.closing(Upstream(lambda q, proto: [reply(q)])) as up, \
            Server(signpost, folder, LATER % up.port, *more) as s:
        assert s.addresses("www.a.test.") == ["192.0.2.1"]
        assert s.addresses("www.h.test.") == ["192.0.2.11"]
        assert s.addresses("web.default.svc.cluster.local.") == ["10.96.0.1"]
        assert s.addresses("www.example.org.") == ["192.0.2.1"]
        assert s.addresses("www2.example.org.", tcp=True) == ["192.0.2.1"]
        change_all(s, folder)
        write_whole(s.path, s.path.read_text().replace("cache 1", "cache 2"))
        s.process.send_signal(signal.SIGHUP)
        s.wait_log("Reloading complete")
        assert s.addresses("www3.example.org.") == ["192.0.2.1"]
        assert s.addresses("web.x.cluster.local.") == ["10.96.0.2"]
        assert refusals(s.numbered(2)) == ([] if is_sanitized(s) else ["0"])
        assert s.udp(query("www.a.test.").to_wire()) is not None


def test_the_service_manager_is_told(signpost, folder):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(10)
        env = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        with Server(signpost, folder, WHOAMI, env=env) as s:
            assert manager.recv(100) == b"READY=1"
            assert len(s.ask("a.test.").additional) == 2
            s.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", manager.recv(100))
            assert manager.recv(100) == b"READY=1"
            write_whole(s.path, "a.test.:53 {\n    whoami\n    bind 192.0.2.77\n}\n") # not of this machine
            s.process.send_signal(signal.SIGHUP)
            assert manager.recv(100).startswith(b"RELOADING=1")
            assert manager.recv(100) == b"READY=1"
            s.process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            assert s.process.wait(20) == 0


SIGN = """a.test.:@PORT@ {
    bind 127.0.0.1
    sign @DIR@/zone {
        key file %s
        directory @DIR@/%s
    }
}
"""


def sign_in(server, key, name):
    text = SIGN % (key.base, name)
    write_whole(server.path, text.replace("@PORT@", str(server.port)).replace(
        "@DIR@", str(server.folder)))
    server.process.send_signal(signal.SIGHUP)


def test_writing_is_for_named_folders(signpost, folder):
    """Those of the Corefile at the start and of -writable; a reload that brings others is warned of."""
    for name in ("first", "more", "more/below", "other"):
        (folder / name).mkdir()
    (folder / "zone").write_text(ZONE % (1, 1))
    key = Key(folder, "a.test.")
    with Server(signpost, folder, SIGN % (key.base, "first"), "-writable", folder / "more") as s:
        if is_sanitized(s) or "read-only file system: not to be had" in s.log():
            pytest.skip("no Landlock here, or a sanitizer's build")
        s.wait_log("Successfully signed", 10)
        assert (folder / "first/db.a.test.signed").exists()
        sign_in(s, key, "more/below")
        end = time.monotonic() + 10
        while not (folder / "more/below/db.a.test.signed").exists():
            assert time.monotonic() < end, s.log()
            time.sleep(0.02)
        assert "cannot be written" not in s.log()
        sign_in(s, key, "other")
        s.wait_log("guard: files below %s/other cannot be written since the start" % folder, 10)
        s.wait_log("ermission denied", 10)
        assert list((folder / "other").iterdir()) == []

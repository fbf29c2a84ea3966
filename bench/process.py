"""Processes under measurement: started on one core, watched from outside, ended by their id."""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import time

POLL_SECONDS = 0.001
PATIENT_POLL_SECONDS = 0.1
PROBES_MAX = 16  # that may lie in a server's socket while it reads its files
STOP_SECONDS = 5
LOG_TAIL = 600  # characters of a failed server's output shown


class StartError(Exception):
    """A server that did not come up; the text says why."""


def start(argv, cpus, log, cwd):
    """Starts argv on these cores only, so that servers which count cores start as many threads."""
    with open(log, "ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                preexec_fn=lambda: os.sched_setaffinity(0, cpus))


def pin(pids, cpus):
    """Pins all threads again: some servers choose cores for their threads themselves."""
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cpus)


def parents():
    """Every process's parent."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def tree(pid):
    """pid and its descendants: some servers fork."""
    of = parents()
    members = [pid]
    for member in members:
        members += [child for child, parent in of.items() if parent == member]
    return members


def cpu_ns(pids):
    """CPU time of all threads so far, by each process's CPU clock: exact, where utime has ticks."""
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def waited_ns(pids):
    """Time that threads stood ready to run while something else had their core."""
    tasks = (task for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks)


def kilobytes(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def memory_mb(pids):
    """Resident memory; of a server that forks, the proportional shares of all its processes."""
    if len(pids) == 1:
        return kilobytes(f"/proc/{pids[0]}/status", "VmRSS:") / 1024
    return sum(kilobytes(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) / 1024


def peak_mb(pids):
    """The largest that the process has been; of several, the largest one's."""
    return max(kilobytes(f"/proc/{pid}/status", "VmHWM:") for pid in pids) / 1024


def stop(process):
    """Ends a process and what it forked."""
    pids = tree(process.pid) if process.poll() is None else []
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    left = parents()
    for pid in pids[1:]:
        if pid in left and left[pid] in (1, process.pid):
            os.kill(pid, signal.SIGKILL)


def query_packet(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 0x5349, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1)


def is_right(answer, addresses):
    """A NOERROR answer with one of the addresses. Without addresses any response will do."""
    if len(answer) < 12 or not answer[2] & 0x80:
        return False
    if not addresses:
        return True
    truncated, rcode, count = answer[2] & 2, answer[3] & 15, answer[7]
    wanted = (b"\x00\x04" + socket.inet_aton(address) for address in addresses)
    return rcode == 0 and (bool(truncated) or count > 0 and any(w in answer for w in wanted))


def tail(log):
    text = pathlib.Path(log).read_text(errors="replace").strip()
    return text[-LOG_TAIL:] or "it printed nothing"


def first_answer(process, since, port, probe, timeout, log):
    """Asks every millisecond; seconds from `since` to the first right answer. With many probes not
    answered it asks seldom: a slow server would have its socket full of them, and no room for what
    comes after. Those that lie there are answered as soon as it can."""
    packet, waiting = query_packet(probe["name"]), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(("127.0.0.1", port))
        while time.monotonic() - since < timeout:
            if process.poll() is not None:
                raise StartError(f"ended with status {process.returncode}: {tail(log)}")
            try:
                asker.send(packet)
                waiting += 1
                asker.settimeout(POLL_SECONDS if waiting < PROBES_MAX else PATIENT_POLL_SECONDS)
                if is_right(asker.recv(4096), probe["addresses"]):
                    return time.monotonic() - since
                waiting -= 1
            except ConnectionRefusedError:
                waiting = 0  # nobody listened
                time.sleep(POLL_SECONDS)
            except TimeoutError:
                pass
    raise StartError(f"no right answer for {probe['name']} within {timeout:g} s: {tail(log)}")

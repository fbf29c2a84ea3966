"""Where a server's time goes under load: perf samples its core, and each sample is put down to a
part: of the kernel by the system call that was under way, of the program by the source file that the
instruction comes from."""

import collections
import re
import shutil
import subprocess
import time

import process
from bench import progress, running

FREQUENCY = 4999   # samples a second
EVENTS = ("cycles", "cpu-clock")  # the second where the machine shows no counters
TOP = 12
FEW = 2000         # samples, below which shares of a percent are chance

# The first that is found in the chain of callers, from the innermost on.
KERNEL_PARTS = [
    (re.compile(r"^__sys_recvmmsg|^__x64_sys_recv|^__arm64_sys_recv"), "kernel: receive"),
    (re.compile(r"^__sys_sendmmsg|^__x64_sys_send|^__arm64_sys_send"),
     "kernel: send, and delivery to the client"),
    (re.compile(r"^__x64_sys_read|^__x64_sys_write|^__arm64_sys_(read|write)|^do_(read|write)v|^vfs_(read|write)"),
     "kernel: read and write"),
    (re.compile(r"epoll"), "kernel: wait (epoll)"),
    (re.compile(r"^(asm_)?sysvec|^irq_|^common_interrupt|^schedule"), "kernel: interrupts, scheduling"),
]
KERNEL_OTHER = "kernel: entry and other calls"
# By the source file of the instruction; the first that fits.
PARTS = [
    (re.compile(r"src/(wire/msg_(read|query)|wire/name|wire/words)"), "parse"),
    (re.compile(r"src/(wire/|dns/nearest)"), "write"),
    (re.compile(r"src/(base/metric|dns/plugins/prometheus)"), "metrics"),
    (re.compile(r"src/dns/(plugins/kubernetes|snap|miss)"), "lookup"),
    (re.compile(r"src/dns/plugins/"), "other plugins"),
    (re.compile(r"src/dns/"), "chain"),
    (re.compile(r"src/(net|loop)/"), "sockets and loop"),
    (re.compile(r"src/base/"), "base: hashes, memory, clock"),
]
OTHER = "libraries"
FRAME = re.compile(r"^\s+([0-9a-f]+) (.+?)(?:\+0x([0-9a-f]+))? \((.*)\)$")


def record(pid, file, seconds):
    """Samples of the first event that this machine has. Returns why there are none, or None."""
    if not shutil.which("perf"):
        return "perf is not installed (Debian: linux-perf)"
    said = ""
    for event in EVENTS:
        argv = ["perf", "record", "-q", "-e", event, "-F", str(FREQUENCY), "--call-graph", "fp",
                "-o", file, "-p", str(pid), "--", "sleep", str(seconds)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, timeout=seconds + 60)
        if done.returncode == 0:
            return None
        said = done.stderr.strip().splitlines()[:3]
    return "perf may not: " + " ".join(said)


def read_samples(file):
    """Each as its frames from the innermost on: (symbol, offset, object)."""
    done = subprocess.run(["perf", "script", "-i", file, "-F", "ip,sym,symoff,dso"],
                          capture_output=True, text=True, check=True, timeout=120)
    frames = []
    for line in done.stdout.splitlines() + [""]:
        found = FRAME.match(line)
        if found:
            _, symbol, offset, dso = found.groups()
            frames.append((symbol, int(offset or "0", 16), dso))
        elif frames:
            yield frames
            frames = []


def is_kernel(dso):
    return dso.startswith("[") and dso not in ("[vdso]", "[unknown]")


def symbols(program):
    """Name -> address in the file. A name that is there twice is told apart by nothing: the first."""
    done = subprocess.run(["nm", "--defined-only", program], capture_output=True, text=True,
                          check=True, timeout=60)
    found = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTwW":
            found.setdefault(words[2], int(words[0], 16))
    return found


def own_frame(frames, program):
    """The innermost frame that is the program's: what it calls in libraries is its work."""
    return next(((symbol, offset) for symbol, offset, dso in frames if dso == program), None)


def source_files(program, places):
    """(symbol, offset) -> the files of its inlined functions, from the innermost on."""
    known, places = symbols(program), sorted(places)
    asked = [place for place in places if place[0] in known]
    text = "".join(f"{known[symbol] + offset:#x}\n" for symbol, offset in asked)
    done = subprocess.run(["addr2line", "-a", "-i", "-e", program], input=text, text=True,
                          capture_output=True, check=True, timeout=120)
    files = {}
    for line in done.stdout.splitlines():
        if line.startswith("0x"):
            files[asked[len(files)]] = []
        else:
            files[asked[len(files) - 1]].append(line.partition(":")[0])
    return files


def part_of_files(files):
    """What is inlined from a header is its caller's work, but for metrics."""
    inner = [f for f in files if not f.endswith(".h") or "base/metric" in f] or files
    for name, part in PARTS:
        if inner and name.search(inner[0]):
            return part
    return OTHER


def kernel_part(frames):
    for symbol, _, dso in frames:
        if not is_kernel(dso):
            break
        for pattern, part in KERNEL_PARTS:
            if pattern.search(symbol):
                return part
    return KERNEL_OTHER


def classify(samples, program):
    """Part -> samples, and (part, symbol) -> samples of the innermost function."""
    places = {own_frame(frames, program) for frames in samples} - {None}
    files = source_files(program, places)
    parts, tops = collections.Counter(), collections.Counter()
    for frames in samples:
        symbol, _, dso = frames[0]
        if is_kernel(dso):
            part = kernel_part(frames)
        else:
            own = own_frame(frames, program)
            part = part_of_files(files.get(own, []))
        parts[part] += 1
        tops[part, symbol] += 1
    return parts, tops


def print_profile(parts, tops, names, us_per_query, style):
    total = sum(parts.values())
    if total < FEW:
        print(style.dim(f"note: {total} samples say little; more with --profile-seconds"))
    print(style.bold(f"\n{total:,} samples under {names}, {us_per_query:.2f} us/query\n"))
    print(style.bold(f"{'part':<42} {'share':>6} {'us/query':>9}"))
    for part, n in parts.most_common():
        print(f"{part:<42} {n / total:>6.1%} {n / total * us_per_query:>9.3f}")
    for title, in_kernel in (("function of the program", False), ("function of the kernel", True)):
        some = collections.Counter({key: n for key, n in tops.items()
                                    if key[0].startswith("kernel") == in_kernel})
        print(style.bold(f"\n{title:<42} {'share':>6} {'us/query':>9}  part"))
        for (part, symbol), n in some.most_common(TOP):
            print(f"{symbol[:42]:<42} {n / total:>6.1%} {n / total * us_per_query:>9.3f}  {part}")


def under_load(bench, row, setting, file):
    """Returns why there is no profile, or None, and the cost of a query meanwhile."""
    seconds = bench.args.profile_seconds
    with running(bench, row, setting) as (server, _):
        start = bench.warm_up(row, setting)
        load = bench.load_start(row, setting, 10 ** 9, seconds + 2, start)
        try:
            time.sleep(0.5)
            before = process.cpu_ns([server.pid])
            since = time.monotonic()
            problem = record(server.pid, file, seconds)
            used, took = process.cpu_ns([server.pid]) - before, time.monotonic() - since
        finally:
            made = bench.load_end(load, seconds + 2)
    return problem, used / 1000 / (made["qps"] * took)


def profile(bench, row, setting, style):
    """Prints it; returns the exit status."""
    file = bench.folder / "perf.data"
    progress(f"{row.label} under load for {bench.args.profile_seconds} s")
    problem, us_per_query = under_load(bench, row, setting, str(file))
    progress("")
    if problem:
        print(f"no profile: {problem}")
        return 1
    samples = list(read_samples(str(file)))
    if not samples:
        print("no profile: perf took no samples")
        return 1
    parts, tops = classify(samples, row.program)
    print_profile(parts, tops, f"{setting.names}, {setting.transport}", us_per_query, style)
    return 0

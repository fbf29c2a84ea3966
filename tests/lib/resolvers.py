"""The resolvers that containers bring along, as programs that live on: glibc's, musl's and Go's."""
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ("glibc", "musl", "go")
TOOLS = {"glibc": "cc", "musl": "musl-gcc", "go": "go"}


def missing(kind):
    """What has to be installed for it, or None."""
    return None if shutil.which(TOOLS[kind]) else "%s is not installed" % TOOLS[kind]


def build(kind, folder):
    """The program, in that folder."""
    program = pathlib.Path(folder) / ("resolve-" + kind)
    if kind == "go":
        argv = ["env", "CGO_ENABLED=0", "go", "build", "-o", program, HERE / "resolve.go"]
    else:
        static = ["-static"] if kind == "musl" else []
        argv = [TOOLS[kind], *static, "-O1", "-o", program, HERE / "resolve.c"]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return str(program)


class Answer:
    """code 0: found."""

    def __init__(self, line):
        name, code, ms, *self.addresses = line.split()
        self.name, self.code, self.ms = name, int(code), float(ms)


class Client:
    """A running one. start: a function that starts it, with pipes, where it is to run."""

    def __init__(self, start):
        self.process = start()

    def ask(self, name):
        self.begin(name)
        return self.end()

    def begin(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()

    def end(self):
        return Answer(self.process.stdout.readline())

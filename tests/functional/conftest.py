"""What functional tests share. SIGNPOST names the program under test (default: build/signpost)."""
import os
import pathlib
import signal
import sys

import dns  # noqa: F401  dnspython, before a test's path offers bench/dns.py under that name
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
# A shell lets what it starts in the background ignore ^C, and programs hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root():
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def signpost():
    """The program under test, as an absolute path."""
    program = pathlib.Path(os.environ.get("SIGNPOST", ROOT / "build" / "signpost")).absolute()
    if not os.access(program, os.X_OK):
        pytest.exit("%s is not there: ./run build makes it" % program, returncode=1)
    return str(program)

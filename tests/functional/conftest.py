"""What functional tests share. SIGNPOST names the program under test (default: build/signpost)."""
import pathlib
import signal
import sys

import dns  # noqa: F401  dnspython, before a test's path offers bench/dns.py under that name
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "lib"))
from program import signpost_program  # noqa: E402

# A shell lets what it starts in the background ignore ^C, and programs hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root():
    """The top of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def signpost():
    """The program under test, as an absolute path."""
    return signpost_program()

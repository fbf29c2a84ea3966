"""The program under test: SIGNPOST names it (default: build/signpost)."""
import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def signpost_program():
    """Its absolute path; without it the whole run ends."""
    program = pathlib.Path(os.environ.get("SIGNPOST", ROOT / "build" / "signpost")).absolute()
    if not os.access(program, os.X_OK):
        pytest.exit("%s is not there: ./run build makes it" % program, returncode=1)
    return str(program)

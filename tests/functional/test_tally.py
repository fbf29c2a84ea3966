"""The tally of the parts of `./run test` (tools/tally.py): nothing that failed is lost in it."""
import pathlib
import subprocess
import sys

import pytest

TALLY = pathlib.Path(__file__).parents[2] / "tools" / "tally.py"
CLASS = "tests.functional.test_tally"


def suite(folder, name="functional.xml", **outcomes):
    """A JUnit file of cases a, b ...: passed, failed or skipped."""
    inside = {"passed": "", "failed": "<failure/>", "skipped": "<skipped/>"}
    cases = "".join('<testcase classname="%s" name="%s">%s</testcase>' % (CLASS, case, inside[outcome])
                    for case, outcome in outcomes.items())
    (folder / name).write_text("<testsuite>%s</testsuite>" % cases)
    return folder / name


def tally(*arguments):
    done = subprocess.run([sys.executable, "-B", TALLY, *map(str, arguments)], capture_output=True, text=True,
                          cwd=TALLY.parents[1], timeout=30)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("outcomes, alone, code, last", [
    ({"a": "passed", "b": "passed"}, {}, 0, "2 passed, 0 failed"),
    ({"a": "passed", "b": "failed"}, {}, 1, "1 passed, 1 failed"),
    ({"a": "passed", "b": "skipped"}, {}, 0, "1 passed, 0 failed, 1 skipped"),
    ({"a": "failed", "b": "failed"}, {"a": "passed", "b": "failed"}, 1, "1 passed, 1 failed"),
    ({"a": "failed", "b": "failed"}, {"a": "passed", "b": "skipped"}, 1, "1 passed, 1 failed"),
    ({"a": "failed", "b": "passed"}, {"a": "passed"}, 0, "2 passed, 0 failed"),
    ({"a": "skipped", "b": "passed"}, {"a": "passed"}, 0, "1 passed, 0 failed, 1 skipped"),
])
def test_counts(tmp_path, outcomes, alone, code, last):
    path = suite(tmp_path, **outcomes)
    if alone:
        suite(tmp_path, "alone.xml", **alone)
    got, lines = tally("%d:%s" % (code, path))
    assert (got, lines[-1]) == (code, last)
    second = [case for case, outcome in alone.items() if outcome == "passed" and outcomes[case] == "failed"]
    assert [line.split("  ")[0] for line in lines if "second try" in line] == [
        "passed at the second try, by itself: %s.%s" % (CLASS, case) for case in second]


def test_a_part_that_failed_without_a_test_counts(tmp_path):
    assert tally("1:%s" % suite(tmp_path, a="passed"))[1][-1] == "1 passed, 1 failed"
    assert tally("0:%s" % (tmp_path / "none.xml"))[1][-1] == "0 passed, 1 failed"


def test_what_failed_is_named_as_pytest_takes_it(tmp_path):
    assert tally("--failed", suite(tmp_path, a="passed", b="failed")) == (
        0, ["tests/functional/test_tally.py::b"])

"""What every command tells of itself: usage, manual page, completion; all from one table of flags."""
import re
import subprocess

import pytest

COMMANDS = ["cache", "check", "controller", "dns", "explain", "hosts", "lab", "lookup", "proxy", "registry", "resolvconf", "trace",
            "up"]


def output(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout


def flags_of(signpost, command):
    return re.findall(r"^  (--?[a-z0-9.-]+)", output(signpost, command, "--help"), re.M)


def test_every_command_is_listed(signpost):
    listed = re.findall(r"^  (\w+) ", output(signpost, "--help"), re.M)
    assert sorted(listed) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_version(signpost, command):
    """As the originals of some of them have it; that of dns says it in CoreDNS's words."""
    assert re.fullmatch(r"signpost[ -]\d+\.\d+\.\d+\n", output(signpost, command, "--version"))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_time_below_zero(signpost, command):
    """Which stands for a default that depends on other flags, and says nothing to people."""
    assert not re.search(r"default(:| is)? -\d+h", output(signpost, command, "--help") + output(signpost, command, "--man"))


@pytest.mark.parametrize("command", COMMANDS)
def test_manual_pages_name_every_flag(signpost, command):
    page = output(signpost, command, "--man")
    assert page.startswith(".Dd") and f".Nm signpost-{command}" in page
    for flag in flags_of(signpost, command):
        form = f"Fl Fl {flag[2:]}" if flag.startswith("--") else f"Fl {flag[1:]}"
        assert re.search(rf"^\.It {re.escape(form)}( |$)", page, re.M), flag


def complete(script, *words):
    """What bash offers for the last of the words."""
    before = words[-2]
    run = (f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1};"
           f" _signpost signpost '{words[-1]}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return output("bash", "-c", f". {script}; {run}").split()


def test_bash_completes(signpost, tmp_path):
    script = tmp_path / "signpost.bash"
    script.write_text(output(signpost, "completion"))
    assert complete(script, "signpost", "re") == ["registry", "resolvconf"]
    for command in COMMANDS:
        offered = complete(script, "signpost", command, "--")
        wanted = [f for f in flags_of(signpost, command) if f.startswith("--")]
        assert sorted(offered) == sorted(wanted + ["--help"]), command
    assert str(script) in complete(script, "signpost", "dns", "--conf", str(tmp_path) + "/")

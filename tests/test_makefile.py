"""The Makefile's own logic: which Python it takes, what it says when none will do, when it sets up again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


@pytest.fixture
def place(tmp_path):
    """A folder that holds what a set-up depends on, in a path with a space."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def script(path, text):
    """An executable shell script."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def make(place, *words, path=None):
    """Run make with nothing inherited but PATH: a make around the tests would pass its variables on."""
    environment = {"PATH": path or os.environ["PATH"]}
    return subprocess.run([MAKE, *words], cwd=place, env=environment, capture_output=True, text=True, check=False)


def set_up(place):
    """What a finished set-up leaves, stamped with its place."""
    (place / ".venv").mkdir()
    (place / ".venv" / "complete").write_text(f"{place}\n")


def age(path, seconds):
    """Make a file older."""
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def assert_one_line(done, *parts):
    """Make failed, with a single line that says these things, before anything was made."""
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("version", ["(3, 10, 9)", "(3, 14, 0)", "(2, 7, 18)"])
def test_a_python_out_of_range_is_named_in_one_line(place, tmp_path, version):
    """A Python that pretends to be of another version."""
    number = version.strip("()").replace(", ", ".")
    fake = script(
        tmp_path / "python",
        f'[ "$1" = --version ] && echo Python {number} && exit\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"',
    )
    assert_one_line(make(place, "test", f"PYTHON={fake}"), "3.11, 3.12 or 3.13", f"Python {number}", "PYTHON=")
    assert not (place / ".venv").exists()


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_is_named_in_one_line(place, tmp_path, missing):
    """As Debian packages it."""
    hide = f"import sys; sys.modules['{missing}'] = None; $2"
    fake = script(tmp_path / "python", f'exec {sys.executable} -c "{hide}"')
    assert_one_line(make(place, "reproduce", f"PYTHON={fake}"), "lacks venv", "python3-venv")


def test_no_python_at_all_is_one_line(place):
    """A command that does not exist."""
    assert_one_line(make(place, "test", "PYTHON=no-such-python"), "no-such-python")


def test_another_installed_python_is_taken_where_python3_is_too_old(place, tmp_path):
    """Only where none was named."""
    script(tmp_path / "python3", "exit 1")
    script(tmp_path / "python3.12", f'exec {sys.executable} "$@"')
    done = make(place, "-n", "test", path=f"{tmp_path}:/usr/bin:/bin")
    assert "python3.12 -m venv --clear .venv" in done.stdout


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("nothing", False),
        ("a test", False),
        ("requirements.lock", True),
        ("pyproject.toml", True),
        ("interrupted", True),
        ("moved", True),
    ],
)
def test_set_up_runs_again_when_and_only_when_it_must(place, change, again):
    """`make -n` tells what would run."""
    set_up(place)
    for name in ("requirements.lock", "pyproject.toml"):
        age(place / name, 100)
    stamp = place / ".venv" / "complete"
    if change == "a test":
        (place / "test_new.py").touch()
    elif change == "interrupted":
        stamp.rename(place / ".venv" / "complete.part")
    elif change == "moved":
        place = place.rename(place.with_name("moved"))
    elif change != "nothing":
        age(stamp, 1000)
        age(place / ({"requirements.lock", "pyproject.toml"} - {change}).pop(), 2000)
    for target in ("test", "reproduce"):
        done = make(place, "-n", target, f"PYTHON={sys.executable}")
        assert done.returncode == 0, done.stderr
        assert ("-m venv" in done.stdout) == again, target


def test_every_target_that_needs_the_set_up_asks_for_it():
    """All but the list of targets; the lock takes an older set-up too."""
    targets = dict(re.findall(r"^([a-z-]+): (.*?) *##", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {name for name, needs in targets.items() if needs == "$(STAMP)"} == targets.keys() - {"help", "lock"}
    assert targets["lock"] == "$(if $(wildcard $(BIN)/uv),,$(STAMP))"


def test_set_up_that_fails_leaves_no_stamp(place, tmp_path):
    """A Python whose pip fails: make fails, and the next make starts over."""
    fake = script(
        tmp_path / "python",
        '[ "$1" = -c ] && exit 0\nmkdir -p .venv/bin && cp "$0" .venv/bin/python\n[ "$2" != pip ]',
    )
    assert make(place, "test", f"PYTHON={fake}").returncode == 2
    assert (place / ".venv" / "complete.part").is_file()
    assert not (place / ".venv" / "complete").exists()
    assert "-m venv --clear" in make(place, "-n", "test", f"PYTHON={fake}").stdout


def test_plain_make_lists_every_target(place):
    """Help is the default, needs no set-up, and leaves out no target."""
    done = make(place)
    assert done.returncode == 0
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert listed == {"help", "reproduce", "test", "test-slow", "lint", "bench", "book", "lock"}
    assert not (place / ".venv").exists()


def test_ci_runs_the_readmes_test_command():
    """And nothing else of weight."""
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "make test"
    assert "set -euo pipefail" in lines

"""environment.yml, pyproject.toml and requirements.lock say the same, and the lock suits every supported Python."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK_LINES = (ROOT / "requirements.lock").read_text().splitlines()
LOCK = {canonicalize_name(r.name): r for r in map(Requirement, LOCK_LINES)}
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())
CONDA_LINES = [line for line in ENVIRONMENT["dependencies"] if isinstance(line, str)]
PIP_LINES = [line for part in ENVIRONMENT["dependencies"] if isinstance(part, dict) for line in part["pip"]]

SUPPORTED = ["3.11", "3.12", "3.13"]
CONDA_NAMES = {"dask": "dask-core", "matplotlib": "matplotlib-base"}  # conda-forge's names, where they differ
NOT_ON_CONDA = {"ortools"}  # conda-forge's ortools-python ends at 9.6, built for no Python after 3.11
ENVIRONMENT_ONLY = {"python", "pip"}


def direct(*groups):
    """Canonical names of the requirements in some groups of pyproject.toml."""
    return {canonicalize_name(Requirement(line).name) for group in groups for line in group}


def locked(name):
    """The version to which the lock pins a package."""
    (pin,) = LOCK[name].specifier
    return Version(pin.version)


def minor(name):
    """The minor version of the lock, as `X.Y`."""
    return "{}.{}".format(*locked(name).release[:2])


def test_lock_has_one_plain_pin_a_line():
    """No address, index, path, option or hash: the lock installs from whatever index the user has."""
    assert len(LOCK) == len(LOCK_LINES)  # one version for every Python
    for line in LOCK_LINES:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!+]*( ; [^@:/\\#]+)?", line), line


@pytest.mark.parametrize("python", SUPPORTED)
def test_lock_meets_pyproject_on_every_supported_python(python):
    """Every requirement of every group is pinned, within its bounds, on this Python and a common platform."""
    here = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    for group in (PROJECT["dependencies"], *EXTRAS.values()):
        for requirement in map(Requirement, group):
            pin = LOCK[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(locked(canonicalize_name(requirement.name))), requirement
            assert pin.marker is None or pin.marker.evaluate(here), f"{pin} is left out on Python {python}"


def test_lock_markers_speak_of_supported_pythons_only():
    """A marker names no Python below 3.11 or above 3.13, so the lock was made for just these."""
    named = {v for line in LOCK_LINES for v in re.findall(r"python_(?:full_)?version [<>=!]+ '([0-9.]+)'", line)}
    assert {".".join(v.split(".")[:2]) for v in named} <= set(SUPPORTED)


def test_supported_pythons_are_those_of_pyproject():
    """`requires-python` admits exactly the Pythons that the Makefile and the README name."""
    requires = Requirement(f"python{PROJECT['requires-python']}").specifier
    assert [f"3.{n}" for n in range(8, 20) if requires.contains(f"3.{n}.5")] == SUPPORTED
    assert "3.11, 3.12 or 3.13" in (ROOT / "Makefile").read_text()
    assert "3.11, 3.12 or 3.13" in (ROOT / "README.md").read_text()


def test_build_backend_is_in_the_lock():
    """The set-up builds without isolation, so what builds the package must be installed by the lock."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert requirement.specifier.contains(locked(canonicalize_name(requirement.name)))


def test_environment_has_each_direct_dependency_at_the_minor_version_of_the_lock():
    """Package and notebooks extra, neither more nor less."""
    wanted = direct(PROJECT["dependencies"], EXTRAS["notebooks"])
    conda = {CONDA_NAMES.get(name, name): f"={minor(name)}" for name in wanted - NOT_ON_CONDA}
    found = {name: rest for name, rest in (re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in CONDA_LINES)}
    assert {name: rest for name, rest in found.items() if name not in ENVIRONMENT_ONLY} == conda
    assert sorted(PIP_LINES) == sorted(f"{name}=={minor(name)}.*" for name in wanted & NOT_ON_CONDA)


def test_environment_pins_a_supported_python_that_the_lock_suits():
    """Binder reads only `python=X.Y`; another form silently gives another Python."""
    (line,) = [line for line in CONDA_LINES if line.startswith("python")]
    assert re.fullmatch(r"python=3\.\d+", line)
    assert line.removeprefix("python=") in SUPPORTED


@pytest.mark.parametrize("line", CONDA_LINES)
def test_conda_understands_each_line(line):
    """Each is a strict match specification, and admits the locked version."""
    spec = MatchSpec(line, strict=True)
    assert spec.name.normalized == re.match(r"[\w.-]+", line).group()


def test_conda_takes_packages_from_conda_forge_alone():
    """Mixing channels mixes binaries that do not fit."""
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]

"""What stands about the project in several places says the same in each."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PYPROJECT["urls"]["repository"]  # the one place where the repository's address stands
README = (ROOT / "README.md").read_text()
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def git(*words):
    """Output of a git command in the checkout, or a skip where it is no git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_address_is_a_github_repository():
    """Binder's address below is made from it."""
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", ADDRESS)


def test_binder_badge_opens_the_first_notebook_of_this_repository():
    """In JupyterLab, at the head of the default branch."""
    (target,) = re.findall(r"\[!\[Binder\]\([^)]*\)\]\(([^)]*)\)", README)
    parts = urlsplit(target)
    assert (parts.scheme, parts.netloc) == ("https", "mybinder.org")
    assert parts.path == f"/v2/gh/{ADDRESS.removeprefix('https://github.com/')}/HEAD"
    (path,) = re.fullmatch(r"labpath=(.*)", parts.query).groups()
    assert unquote(path).startswith("notebooks/00_")
    assert (ROOT / unquote(path)).is_file()


def test_citation_names_this_repository_version_and_licence():
    """And, preferred, the paper."""
    assert CITATION["repository-code"] == ADDRESS
    assert CITATION["version"] == PYPROJECT["version"]
    assert CITATION["license"] == PYPROJECT["license"] == "BSD-3-Clause"
    paper = CITATION["preferred-citation"]
    assert paper["title"] == "A mean curvature flow arising in adversarial training"
    assert [a["family-names"] for a in paper["authors"]] == ["Bungert", "Laux", "Stinson"]
    assert paper["url"] == PYPROJECT["urls"]["paper"]
    assert not (ROOT / ".zenodo.json").exists()  # Zenodo would then ignore CITATION.cff


def test_no_other_file_states_the_address():
    """When the address is known it changes in pyproject.toml, the README and CITATION.cff, held together above."""
    owner = ADDRESS.removeprefix("https://github.com/")
    files = git("grep", "-lF", owner).split()
    allowed = {"pyproject.toml", "README.md", "CITATION.cff", "CHANGELOG.md"}
    assert set(files) <= allowed


def test_readme_maps_every_notebook_and_links_only_to_files():
    """One row a notebook, in order; every relative link of the README leads somewhere."""
    notebooks = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert re.findall(r"^\| \[\d\d\]\(notebooks/([^)]+)\)", README, flags=re.MULTILINE) == notebooks
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_readme_and_help_name_the_two_commands():
    """Both are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    for command in ("reproduce", "test"):
        assert re.search(rf"^make {command}\b", README, flags=re.MULTILINE)
        assert re.search(rf"^{command}: ", makefile, flags=re.MULTILINE)


def test_changelog_has_an_unreleased_section():
    """Changes have a place before there is a version for them."""
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_hooks_are_local():
    """Nothing is fetched: every hook runs what the lock installed."""
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format", "notebooks"}


def test_produced_files_are_ignored_and_committed_ones_are_not():
    """Runs write under data/runs; the committed records and notebooks are followed by git."""
    ignored = ["data/runs/quick/records/x.json", ".venv/bin/python", "notebooks/.ipynb_checkpoints/x.ipynb"]
    followed = ["data/claims.json", "notebooks/00_start_here.ipynb", "binder/start"]
    answer = subprocess.run(["git", "check-ignore", "--no-index", *ignored, *followed], cwd=ROOT, capture_output=True)
    if answer.returncode == 128:
        pytest.skip("not a git checkout")
    assert answer.stdout.decode().split() == ignored


@pytest.mark.parametrize("name", [".ci/run", "binder/postBuild", "binder/start"])
def test_scripts_are_executable_in_git_too(name):
    """The mode in the index is what a clone gets."""
    assert os.access(ROOT / name, os.X_OK)
    assert git("ls-files", "--stage", name).startswith("100755")


def test_no_file_is_large():
    """Data come with provenance and stay small: nothing followed by git exceeds 1.5 MB."""
    sizes = {name: (ROOT / name).stat().st_size for name in git("ls-files").splitlines() if (ROOT / name).is_file()}
    assert {name: size for name, size in sizes.items() if size >= 1_500_000} == {}

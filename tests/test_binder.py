"""A Binder launch, as far as it goes without Docker: the real repo2docker reads the repository."""

import os
import subprocess
from pathlib import Path

import pytest
from repo2docker.app import Repo2Docker

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pack():
    """The build pack that repo2docker picks for the checkout."""
    before = Path.cwd()
    os.chdir(ROOT)  # build packs look for their files here
    try:
        app = Repo2Docker()
        pack = next(p for p in (Pack(base_image=app.base_image) for Pack in app.buildpacks) if p.detect())
        pack.platform = "linux/amd64"
        yield pack
    finally:
        os.chdir(before)


def test_repo2docker_picks_conda_with_our_files(pack):
    """A `binder/` folder hides the root's files: each must come from there."""
    assert type(pack).__name__ == "CondaBuildPack"
    assert Path(pack.environment_yaml_path) == Path("binder/environment.yml")
    assert pack.get_post_build_scripts() == ["binder/postBuild"]
    assert pack.get_start_script() == "${REPO_DIR}/binder/start"


def test_python_is_the_pinned_one_and_the_solve_is_cached(pack):
    """Another form of the pin gives repo2docker's default Python; a local pip line re-solves at every commit."""
    assert f"python={pack.python_version}" in pack.environment_yaml["dependencies"]
    assert pack._should_preassemble_env


def test_dockerfile_runs_our_scripts(pack):
    """The rendered Dockerfile updates from our environment, runs postBuild and starts through start."""
    text = pack.render()
    assert 'env update -p ${NB_PYTHON_PREFIX} --file "binder/environment.yml"' in text
    assert "RUN ./binder/postBuild" in text
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in text


def test_environment_is_one_text_in_two_places():
    """People use the one at the top, Binder the other; no link, which Windows and archives would break."""
    assert (ROOT / "environment.yml").read_bytes() == (ROOT / "binder" / "environment.yml").read_bytes()
    assert not (ROOT / ".binder").exists()  # together with binder/ an error


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_run_at_all(name):
    """Executable, with an interpreter line, and correct to bash's eye."""
    script = ROOT / "binder" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", script], check=True)


def test_post_build_stops_at_an_error_and_installs_the_checkout(tmp_path):
    """Run with a pip that only notes its arguments, then with one that fails."""
    python = tmp_path / "python"
    python.write_text('#!/bin/bash\necho "$@" >> called\nexit ${FAIL:-0}\n')
    python.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    run = [ROOT / "binder" / "postBuild"]
    assert subprocess.run(run, cwd=tmp_path, env={"PATH": path}, check=False).returncode == 0
    words = (tmp_path / "called").read_text().split()
    assert words[:3] == ["-m", "pip", "install"]
    assert words[-3:] == ["--no-deps", "-e", "."]
    assert subprocess.run(run, cwd=tmp_path, env={"PATH": path, "FAIL": "3"}, check=False).returncode == 3


def test_start_sets_thread_counts_and_becomes_the_command():
    """numba sees the whole machine where Binder grants two CPUs; `exec` passes signals and the exit status on."""
    command = [
        ROOT / "binder" / "start",
        "bash",
        "-c",
        "echo $NUMBA_NUM_THREADS $OMP_NUM_THREADS $$ $1; exit 7",
        "-",
        "a b",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"]}) as process:
        out = process.stdout.read().strip()
    assert out == f"2 2 {process.pid} a b"  # the same process: replaced, not wrapped
    assert process.returncode == 7

"""The cache of compiled kernels: one writer each, copied from one another, old ones deleted."""

import numba
import pytest

from mcfpaper.kernels import _jit


@pytest.fixture
def take(tmp_path, monkeypatch):
    """What a process does that starts, of a package with a given digest: its cache's path, None without one."""
    held = []
    monkeypatch.setenv("MCFPAPER_CACHE", str(tmp_path))
    monkeypatch.setattr(_jit, "_held", held)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")

    def start(digest="now"):
        monkeypatch.setattr(_jit, "_digest", lambda: digest)
        return tmp_path / numba.config.CACHE_DIR if _jit._cached() else None

    start.held = held
    yield start
    for lock in held:
        lock.release()


def fill(folder, *names):
    for name in names:
        (folder / "kernels").mkdir(parents=True, exist_ok=True)
        (folder / "kernels" / name).write_text(name)


def holds(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_processes_at_one_time_have_caches_of_their_own_and_the_next_takes_the_first_free(take, tmp_path):
    assert [take().relative_to(tmp_path).as_posix() for _ in range(3)] == ["now/0", "now/1", "now/2"]
    take.held[1].release()
    assert take() == tmp_path / "now" / "1"


def test_a_new_cache_begins_as_a_copy_of_the_fullest_and_an_old_one_stays_as_it_is(take, tmp_path):
    fill(take(), "a.nbi", "a.1.nbc")
    fill(take(), "b.nbi", "b.1.nbc", "b.2.nbc.tmp.77")  # had nothing when it began, has a copy of a.* now
    third = take()
    assert holds(third) == ["a.1.nbc", "a.nbi", "b.1.nbc", "b.nbi"]
    take.held[0].release()
    assert holds(take()) == ["a.1.nbc", "a.nbi"]


def test_caches_of_other_sources_are_deleted_once_nobody_holds_them(take, tmp_path):
    fill(take("before"), "a.nbi")
    take("before")
    fill(take("now"), "b.nbi")
    assert (tmp_path / "before").exists()
    take.held[0].release()
    take("now")
    assert (tmp_path / "before").exists()  # one of two is still held
    take.held[1].release()
    take("now")
    assert not (tmp_path / "before").exists()


def test_without_a_folder_or_the_right_to_write_nothing_is_cached(take, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MCFPAPER_CACHE", str(tmp_path / "file" / "below"))
    assert take() is None
    monkeypatch.delenv("MCFPAPER_CACHE")
    assert take() is None
    assert numba.config.CACHE_DIR == ""

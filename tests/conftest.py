"""What every test shares: hypothesis profiles, a place for produced data apart, and no window for figures."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib
PRODUCED = tempfile.mkdtemp(prefix="mcfpaper-tests-")
os.environ["MCFPAPER_DATA"] = PRODUCED  # before anything imports mcfpaper; also for the processes that tests start

for name in ("MCFPAPER_SCALE", "MCFPAPER_ROOT", "MCFPAPER_RECORDS", "MCFPAPER_NOTEBOOK"):
    os.environ.pop(name, None)  # what the caller's shell has set is not what is tested

# A shell's background job ignores Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first call of a numba kernel compiles it, so neither deadlines nor the "too slow" check measure the code.
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
# In CI the examples are the same in every run: a failure there is the change's, and can be repeated.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "local"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's top folder."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that Playwright can drive, or a skip that says what is missing."""
    pytest.importorskip("playwright", reason="the browser extra is not installed")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    path = os.environ.get("MCFPAPER_CHROMIUM") or next(filter(None, found), None)
    if path is None:
        pytest.skip("no Chromium found (MCFPAPER_CHROMIUM names one)")
    return path


@pytest.fixture(scope="module")
def browser(chromium):
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def pytest_unconfigure() -> None:
    """Remove what the tests produced."""
    shutil.rmtree(PRODUCED, ignore_errors=True)

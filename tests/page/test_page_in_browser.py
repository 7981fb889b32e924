"""The page as a browser shows it: no error, nothing that keeps somebody out, every figure true, quick and small."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from swp_export.page.formats import FORMATS
from swp_export.page.page import page_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# CI installs both (.ci/run), so that there nothing is skipped.
pytestmark = pytest.mark.skipif(
    not (_CHROMIUM and _DRIVER) and "CI" not in os.environ, reason="chromium and chromedriver are not installed"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Start Chromium without a window."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    assert _CHROMIUM is not None
    assert _DRIVER is not None
    options = ChromeOptions()
    options.binary_location = _CHROMIUM
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1280,900",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(executable_path=_DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def shown(
    browser: Chrome,
    page: Path,
    pruned: dict[str, Any],
    measured: dict[str, Any],
    trained: dict[str, Any],
    swept: dict[str, Any],
) -> tuple[Chrome, list[dict[str, Any]]]:
    """Open the page of all documents."""
    browser.get(page.as_uri())
    return browser, [pruned, measured, trained, swept]


def test_nothing_is_reported_to_the_console(shown: tuple[Chrome, list[dict[str, Any]]]) -> None:
    """No script fails, nothing is blocked, nothing is missing."""
    assert shown[0].get_log("browser") == []


def test_every_figure_on_the_page_is_that_of_the_json(shown: tuple[Chrome, list[dict[str, Any]]]) -> None:
    """The text that is shown is the number in the document, for people."""
    browser, documents = shown
    found = browser.execute_script(
        "return [...document.querySelectorAll('data[data-from]')].map(e => [e.dataset.from, e.innerText])"
    )
    assert len(found) > 40
    for source, text in found:
        number, _, path = source.partition(":")
        truth: Any = documents[int(number)]
        for key in path.split("."):
            truth = truth[int(key)] if isinstance(truth, list) else truth[key]
        assert text in {show(truth) for show in FORMATS.values()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(shown: tuple[Chrome, list[dict[str, Any]]], scheme: str) -> None:
    """axe-core finds nothing serious, in light colours and in dark ones."""
    import axe_core_python

    browser = shown[0]
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    folder = os.path.dirname(axe_core_python.__file__)  # noqa: PTH120
    with open(os.path.join(folder, "axe.min.js"), encoding="utf-8") as script:  # noqa: PTH118, PTH123
        browser.execute_script(script.read())
    found = browser.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    serious = [each for each in found["violations"] if each["impact"] in {"serious", "critical"}]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious] == []
    assert len(found["passes"]) > 10


def test_a_table_is_sorted_by_its_headings(shown: tuple[Chrome, list[dict[str, Any]]]) -> None:
    """By the number, not by its text; a second press turns it round; and by keyboard."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser = shown[0]
    buttons = browser.find_elements(By.CSS_SELECTOR, "table:has(.heat) thead button")
    button = next(each for each in buttons if each.text.startswith("FLOPs"))
    names = "return [...document.querySelector('table:has(.heat)').tBodies[0].rows].map(row => row.cells[0].innerText)"
    button.send_keys(Keys.ENTER)
    assert browser.execute_script(names) == ["features.<7>", "features.0", "features.3"]
    button.send_keys(Keys.ENTER)
    assert browser.execute_script(names) == ["features.3", "features.0", "features.<7>"]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_does_not_scroll_sideways(shown: tuple[Chrome, list[dict[str, Any]]], width: int) -> None:
    """On a phone as on a desktop: wide tables scroll by themselves."""
    browser = shown[0]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_page_of_a_deep_network_stays_small(pruned: dict[str, Any]) -> None:
    """56 layers with 48 shapes each in the strip stay below 2 MB."""
    shapes = [{"taps": f"{n:09b}", "filters": 1} for n in range(1, 60)]
    (first, *_) = pruned["layers"]
    pruned["layers"] = [first | {"name": f"layer{n}", "filter_shapes": shapes, "filters": 64} for n in range(56)]
    assert len(page_of([json.loads(json.dumps(pruned))])) < 2_000_000

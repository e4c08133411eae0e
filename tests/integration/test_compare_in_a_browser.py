"""The page that compares runs, in a real Chromium: what it shows, and what each control does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from run_folders import make_run, texture, unfinished

from overpaint.reports.compare import write_page

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

WIDE, PHONE = (1600, 1000), (390, 844)

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of two settings, a longer one, an unfinished one and a damaged one."""
    folder = tmp_path_factory.mktemp("compared")
    texture((64, 48), 1).save(folder / "photo.png")
    texture((56, 60), 2).save(folder / "painting.png")

    def make(name: str, *settings: str, seed: int, steps: int = 20) -> Path:
        sources = {"photo": folder / "photo.png", "painting": folder / "painting.png"}
        return make_run(folder / "runs" / name, *settings, seed=seed, steps=steps, **sources)

    for seed, weight in enumerate((4, 1), start=1):
        for i, layer in enumerate(("relu4_2", "relu3_1")):
            layers = f"content.layers={{{layer}: 1.0}}"
            make(f"{weight}-{layer}", f"style.weight={weight}", layers, seed=2 * seed + i)
    make("longer", "style.weight=10", seed=9, steps=40)
    unfinished(make("stopped", "style.weight=10", seed=10))
    (folder / "runs" / "torn" / "snapshots").mkdir(parents=True)
    return folder / "runs"


@pytest.fixture
def open_page(browser: Browser, runs: Path, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of the runs; at the end nothing may have gone wrong in it."""
    told: list[str] = []
    opened = []

    def build(
        size: tuple[int, int] = WIDE,
        *,
        scheme: str = "light",
        grid: tuple[str, str] | None = None,
        only: str = "",
    ) -> Page:
        path = write_page([runs / only], tmp_path / "page.html", grid=grid)
        width, height = size
        is_phone = size == PHONE
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            has_touch=is_phone,
            is_mobile=is_phone,
        )
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda made: told.append(made.url) if made.url[:4] == "http" else None)
        page.goto(path.as_uri())
        return page

    yield build
    for context in opened:
        context.close()
    assert told == []


def picture(page: Page, run: int) -> Locator:
    return page.locator(f".card[data-run='{run}'] .picture")


def slide(page: Page, place: int) -> None:
    page.locator("#step").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        place,
    )


def told_steps(page: Page) -> list[str]:
    return page.locator(".card.run .at").all_inner_texts()


def order_of(page: Page, within: str) -> list[str]:
    return page.locator(f"{within} tr").evaluate_all("rows => rows.map(row => row.dataset.row)")


def look(page: Page, name: str) -> float:
    value = page.evaluate(
        "name => document.documentElement.style.getPropertyValue(`--${name}`)", name
    )
    return float(value)


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_every_run_is_shown_and_nothing_sticks_out(open_page: Open, size: tuple[int, int]) -> None:
    page = open_page(size)
    expect(page.locator(".card.run")).to_have_count(7)
    expect(page.locator(".card.source")).to_have_count(2)
    for run in range(6):
        assert picture(page, run).evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    states = page.locator("tbody .state").all_inner_texts()
    assert states == ["done"] * 5 + ["unfinished", "damaged"]
    expect(page.locator(".card[data-run='6'] .none")).to_be_visible()
    expect(page.locator("#run-7")).to_contain_text("config.yaml is missing.")


def test_one_slider_shows_for_each_run_the_newest_snapshot_by_then(open_page: Open) -> None:
    page = open_page()
    assert page.locator("#step-name").inner_text() == "step 40"
    assert told_steps(page) == ["step 20"] * 4 + ["step 40", "step 20", ""]
    last = [picture(page, run).get_attribute("src") for run in range(6)]
    slide(page, 0)
    assert told_steps(page) == ["step 1"] * 6 + [""]
    first = [picture(page, run).get_attribute("src") for run in range(6)]
    assert not set(first) & set(last)
    slide(page, 3)
    assert page.locator("#step-name").inner_text() == "step 30"
    assert told_steps(page) == ["step 20"] * 4 + ["step 30", "step 20", ""]
    assert [picture(page, run).get_attribute("src") for run in range(4)] == last[:4]


def test_the_snapshots_play_to_the_end(open_page: Open) -> None:
    page = open_page()
    page.locator("#play").click()
    expect(page.locator("#step-name")).to_have_text("step 1")
    expect(page.locator("#step-name")).to_have_text("step 40", timeout=10_000)
    expect(page.locator("#play")).to_have_text("▶")


def test_the_wipe_lays_the_photo_or_another_run_over_all_pictures(open_page: Open) -> None:
    page = open_page()
    over = page.locator(".card[data-run='1'] .over")
    expect(over).to_be_hidden()
    page.select_option("#wipe", "photo")
    expect(over).to_be_visible()
    photo = page.locator(".card.source .picture").first.get_attribute("src")
    assert over.locator("img").get_attribute("src") == photo
    box = page.locator(".card[data-run='1'] .stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert look(page, "wipe") == pytest.approx(25, abs=1)
    clips = page.locator(".card.run .over").evaluate_all(
        "all => all.map(one => getComputedStyle(one).clipPath)"
    )
    assert set(clips) == {clips[0]}
    assert "75%" in clips[0]
    page.select_option("#wipe", "0")
    assert over.locator("img").get_attribute("src") == picture(page, 0).get_attribute("src")
    page.select_option("#wipe", "off")
    expect(over).to_be_hidden()


def test_zooming_and_moving_one_picture_moves_all(open_page: Open) -> None:
    page = open_page()
    box = page.locator(".card[data-run='2'] .stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5
    page.mouse.dblclick(x, y)
    assert look(page, "zoom") == 3
    assert (look(page, "x"), look(page, "y")) == (
        pytest.approx(-50, abs=1.5),
        pytest.approx(-100, abs=1.5),
    )
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.2, y, steps=4)
    page.mouse.up()
    assert look(page, "x") == pytest.approx(-30, abs=1.5)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 3000, y, steps=4)
    page.mouse.up()
    assert look(page, "x") == 0  # no further than the picture's edge
    moved = page.locator(".stage:not([data-stage='large']) .picture").evaluate_all(
        "all => all.map(one => getComputedStyle(one).transform.split(',')[0])"
    )
    assert set(moved) == {"matrix(3"}
    page.locator("#zoom-reset").click()
    assert (look(page, "zoom"), look(page, "x"), look(page, "y")) == (1, 0, 0)
    page.keyboard.down("Control")
    page.mouse.move(x, y)
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    expect(page.locator("html")).to_have_attribute("data-zoomed", "")


def test_one_run_is_shown_large_and_the_arrows_turn_to_the_others(open_page: Open) -> None:
    page = open_page()
    page.locator(".card[data-run='0'] .enlarge").click()
    expect(page.locator("#large-name")).to_contain_text("Run 1")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#large-name")).to_contain_text("Run 2")
    shown = page.locator("#large .picture").get_attribute("src")
    assert shown == picture(page, 1).get_attribute("src")
    page.keyboard.press("Escape")
    expect(page.locator("#large")).to_be_hidden()


def test_any_column_sorts_table_and_pictures_and_unknown_values_come_last(open_page: Open) -> None:
    page = open_page()
    assert order_of(page, "tbody") == ["0", "1", "2", "3", "4", "5", "6"]
    loss = page.locator("[data-sort='final/total']")
    loss.click()
    assert order_of(page, "tbody") == ["3", "2", "1", "0", "4", "5", "6"]
    loss.click()
    assert order_of(page, "tbody") == ["4", "0", "1", "2", "3", "5", "6"]
    assert loss.locator("xpath=..").get_attribute("aria-sort") == "descending"
    cards = page.locator("#cards .card").evaluate_all("all => all.map(one => one.dataset.run)")
    assert cards == ["4", "0", "1", "2", "3", "5", "6"]
    for button in page.locator("thead button:visible").all():
        button.click()
        assert sorted(order_of(page, "tbody")) == ["0", "1", "2", "3", "4", "5", "6"]


def test_the_table_shows_what_differs_and_all_settings_when_asked(open_page: Open) -> None:
    page = open_page()
    seed = page.locator("[data-sort='seed']")
    expect(page.locator("[data-sort='style.weight']")).to_be_visible()
    expect(seed).to_be_hidden()
    page.locator("#all-settings").check()
    expect(seed).to_be_visible()


def test_the_curves_are_logarithmic_switchable_and_read_under_the_pointer(open_page: Open) -> None:
    page = open_page()
    page.locator("#plots").scroll_into_view_if_needed()
    plot = page.locator("[data-curve='loss/total'] > div")
    lines = plot.locator(".scatterlayer .trace")
    expect(lines).to_have_count(6)
    assert plot.evaluate("one => one.layout.yaxis.type") == "log"
    page.locator("#axis-linear").click()
    assert plot.evaluate("one => one.layout.yaxis.type") == "linear"
    page.locator("[data-legend='0']").click()
    expect(lines).to_have_count(5)
    page.locator("#legend-all").click()
    expect(lines).to_have_count(6)
    box = plot.locator(".nsewdrag").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = plot.locator(".hoverlayer")
    expect(hover).to_contain_text("step")
    expect(hover).to_contain_text("relu4_2 · 10 · 40")
    slide(page, 1)
    deadline = time.monotonic() + 10  # the page forbids eval, by which Playwright would wait
    while plot.evaluate("one => one.layout.shapes[0].x0") != 10 and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert plot.evaluate("one => one.layout.shapes[0].x0") == 10


def cells(page: Page) -> list[list[str]]:
    return page.locator(".matrix .cell, .matrix .gap").evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('.card')].map(card => card.dataset.run))"
    )


def test_results_are_laid_out_by_two_settings(open_page: Open) -> None:
    page = open_page(grid=("style.weight", "content.layers"))
    assert page.locator(".matrix .across").all_inner_texts() == [
        "style.weight\n1",
        "style.weight\n4",
        "style.weight\n10",
        "style.weight\n\N{EN DASH}",
    ]
    down = page.locator(".matrix .down").all_inner_texts()
    assert [one.splitlines()[-1] for one in down] == ["relu3_1", "relu4_2", "\N{EN DASH}"]
    assert cells(page) == [
        *(["0"], ["2"], [], []),
        *(["1"], ["3"], ["4", "5"], []),
        *([], [], [], ["6"]),
    ]
    slide(page, 0)
    assert told_steps(page).count("step 1") == 6
    page.select_option("#grid-y", "")
    assert cells(page) == [["0", "1"], ["2", "3"], ["4", "5"], ["6"]]
    page.locator("#view-side").click()
    expect(page.locator("#grid")).to_be_hidden()
    expect(page.locator("#cards .card.run")).to_have_count(7)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_light_or_dark_as_the_system_and_as_asked(open_page: Open, scheme: str) -> None:
    page = open_page(scheme=scheme)
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(247, 245, 241)", "rgb(20, 19, 18)"
    assert page.evaluate(paper) == (light if scheme == "light" else dark)
    page.locator("#theme").click()
    assert page.evaluate(paper) == light
    page.locator("#theme").click()
    assert page.evaluate(paper) == dark
    page.reload()
    assert page.evaluate(paper) == dark  # it is remembered


def test_two_fingers_zoom_on_a_phone(open_page: Open) -> None:
    page = open_page(PHONE)
    stage = page.locator(".card[data-run='0'] .stage")
    stage.evaluate(
        """stage => {
          const box = stage.getBoundingClientRect();
          stage.setPointerCapture = () => {};
          const touch = (type, pointerId, part) => stage.dispatchEvent(new PointerEvent(type, {
            pointerId, clientX: box.left + part * box.width, clientY: box.top + box.height / 2,
          }));
          touch("pointerdown", 11, 0.4); touch("pointerdown", 12, 0.6);
          touch("pointermove", 11, 0.3); touch("pointermove", 12, 0.7);
          touch("pointerup", 11, 0.3); touch("pointerup", 12, 0.7);
        }"""
    )
    assert look(page, "zoom") == pytest.approx(2, rel=0.01)


def test_a_single_run_has_a_page_too(open_page: Open) -> None:
    page = open_page(only="longer")
    expect(page.locator(".card.run")).to_have_count(1)
    expect(page.locator("#view-grid")).to_have_count(0)
    page.locator("#plots").scroll_into_view_if_needed()
    expect(page.locator("[data-curve='loss/total'] .scatterlayer .trace")).to_have_count(1)

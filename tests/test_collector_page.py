"""The collector's page in a real browser, over a real database: seen, clicked, attacked."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import requests

pytest.importorskip("starlette", reason="needs the extra: collector")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")

import xss
from agentmonitor_logging import configure
from agentmonitor_logging.collector import RunningCollector, running_collector, views
from agentmonitor_logging.demo import agent as demo_agent
from conftest import KEY

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
    pytest.mark.timeout(300),
]

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)
PHONE = {"width": 375, "height": 812}
DESK = {"width": 1440, "height": 900}
PATIENCE = 15_000
"""Milliseconds until something must be on the page."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Reader:
    """One page, on which nothing may fail that is not expected to."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: List[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._console)
        page.on("dialog", self._dialog)
        page.add_init_script("window.attacked = []")

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def heading(self, text: str) -> None:
        """Wait for the view with this heading, drawn to the end."""
        self.page.get_by_role("heading", level=1, name=text).wait_for()
        self.settled()

    def settled(self) -> None:
        self.until("!document.querySelector('main .skeleton, main [aria-busy=true]')")

    def until(self, condition: str) -> None:
        """Wait for a condition; the policy forbids the driver to wait in the page."""
        end = time.monotonic() + PATIENCE / 1_000
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, condition
            self.page.wait_for_timeout(20)


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Any]:
    """Return what opens a page of its own browser profile."""
    with contextlib.ExitStack() as stack:

        def opened(
            address: str, *, viewport: Dict[str, int] = DESK, scheme: str = "light"
        ) -> Reader:
            context = chromium.new_context(viewport=viewport, color_scheme=scheme)
            stack.callback(context.close)
            reader = Reader(context.new_page())
            reader.page.goto(address)
            return reader

        yield opened


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db") as running:
        yield running


def post(collector: RunningCollector, *events: Dict[str, Any]) -> None:
    answer = requests.post(
        collector.url + "/events/batch",
        json={"events": events},
        headers={"X-API-Key": KEY},
        timeout=30,
    )
    assert 200 == answer.status_code, answer.text


def event(number: int, **changes: Any) -> Dict[str, Any]:
    metadata = {
        "event_id": f"{number:032x}",
        "function_name": f"step {number}",
        "trace_id": f"{number + 1:032x}",
        "span_id": f"{number + 1:016x}",
        **changes.pop("metadata", {}),
    }
    return {
        "agent_id": "bot",
        "event_type": "tool_call",
        "timestamp": f"2026-10-16T12:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "latency_ms": 12,
        "metadata": metadata,
        **changes,
    }


@pytest.fixture
def shop(collector: RunningCollector) -> RunningCollector:
    """Return a collector that has what the demo's agent logged."""
    handler = configure(
        logger=demo_agent.log.name,
        api_key=KEY,
        agent_id="support-bot",
        api_url=collector.url,
    )
    try:
        # The browser's driver has the event loop of this thread.
        thread = threading.Thread(target=lambda: asyncio.run(demo_agent.run()))
        thread.start()
        thread.join()
        assert handler.flush(20)
    finally:
        handler.shutdown()
        demo_agent.log.removeHandler(handler)
    return collector


VIEWS = {
    "overview": ("/", "Overview"),
    "traces": ("/traces", "Traces"),
    "trace": ("/traces/{trace}", "answer"),
    "a call": ("/traces/{trace}?event={event}", "answer"),
    "sessions": ("/sessions", "Sessions"),
    "a session": ("/sessions/session-1", "session-1"),
    "nothing found": ("/traces?q=xyzzy", "Traces"),
    "no such trace": ("/traces/none", "Trace"),
}


def addresses(shop: RunningCollector) -> Dict[str, Any]:
    found = requests.get(shop.url + "/traces?session_id=session-1", timeout=30).json()
    (trace,) = (one for one in found["traces"] if one["events"] > 1)
    spans = requests.get(f"{shop.url}/traces/{trace['trace_id']}", timeout=30).json()
    failed = next(one for one in spans["spans"] if one["status"] == "error")
    places = {"trace": trace["trace_id"], "event": failed["id"]}
    return {
        name: (shop.origin + path.format(**places), heading)
        for name, (path, heading) in VIEWS.items()
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_every_view_is_accessible_and_fits(
    shop, open_page, scheme: str, viewport: Dict[str, int]
) -> None:
    """axe finds nothing, nothing is wider than the window, nothing complains."""
    for name, (address, heading) in addresses(shop).items():
        reader = open_page(address, viewport=viewport, scheme=scheme)
        reader.heading(heading)
        found = axe.Axe().run(reader.page)
        width = reader.page.evaluate("document.documentElement.scrollWidth")

        assert 0 == found.violations_count, (name, found.generate_report())
        assert width <= viewport["width"], name
        expected = ["404"] if name == "no such trace" else []
        unexpected = [
            text for text in reader.complaints if not any(e in text for e in expected)
        ]
        assert [] == unexpected, name


def test_no_hostile_text_is_ever_run(collector, open_page) -> None:
    """In every field, in every view: text stays text, and the policy is never asked."""
    for number, text in enumerate(xss.CORPUS):
        post(
            collector,
            event(
                number,
                agent_id=text,
                event_type=text,
                status="error",
                error_message=text,
                input_data={"messages": [{"role": text, "content": text}], text: text},
                output_data={"items": [text, {text: text}]},
                metadata={
                    "session_id": text,
                    "user_id": text,
                    "function_name": text,
                    "message": text,
                    "traceback": text,
                    "error_type": text,
                    text: text,
                },
            ),
        )
    traces = requests.get(collector.url + "/traces?limit=200", timeout=30).json()
    assert len(xss.CORPUS) == len(traces["traces"])
    reader = open_page(collector.origin + "/?span=30d")
    reader.heading("Overview")
    paths = ["/?from=2026-10-16T11:00:00.000Z&to=2026-10-16T13:00:00.000Z", "/traces"]
    paths += ["/sessions"]
    for trace in traces["traces"]:
        session = requests.utils.quote(trace["session_id"], safe="")
        paths += [f"/traces/{trace['trace_id']}?event={trace['revision']}"]
        paths += [f"/sessions/{session}"]
    for path in paths:
        reader.page.goto(collector.origin + path)
        reader.page.get_by_role("heading", level=1).wait_for()
        reader.settled()
        assert [] == reader.page.evaluate("window.attacked"), path
        assert [] == reader.page.evaluate(_CODE), path

    assert [] == reader.complaints


_CODE = """[...document.querySelectorAll('script:not([src]), iframe, object, embed, base,'
 + ' video, audio, img, math, template, main style, main link, main meta, [srcdoc],'
 + ' form[action], [formaction], [href]')]
 .filter(e => !e.href || /^javascript:|^data:/i.test(e.href) || new URL(e.href,
 location).origin !== location.origin).filter(e => e.rel !== 'icon')
 .map(e => e.outerHTML)"""
"""What could run or load something, and is not the page's own."""


def test_a_newcomer_is_told_what_to_do_and_sees_the_first_event(
    collector, open_page
) -> None:
    """The lines on the empty page work as they are, and the page needs no reload."""
    reader = open_page(collector.origin + "/")
    lines = reader.page.locator("pre").first
    lines.wait_for()
    code = lines.inner_text()
    assert collector.url in code
    assert 0 == lines.evaluate("e => e.scrollWidth - e.clientWidth")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        exec(compile(code, "page", "exec"), {})
        logging.getLogger("newcomer").info("hello from the newcomer")
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    reader.page.get_by_text("my-agent").first.wait_for()

    assert [] == reader.complaints


def test_the_list_grows_live_and_never_under_the_reader(collector, open_page) -> None:
    """At the top new rows appear; further down they wait, and nothing moves."""
    post(collector, *(event(n) for n in range(60)))
    reader = open_page(collector.origin + "/traces")
    reader.page.get_by_role("link", name="step 59").wait_for()
    post(collector, event(100))
    reader.page.get_by_role("link", name="step 100").wait_for()
    reader.page.evaluate("scrollTo(0, 700)")
    seen = reader.page.get_by_role("link", name="step 40")
    before = seen.bounding_box()
    post(collector, *(event(200 + n) for n in range(3)))
    news = reader.page.get_by_role("button", name="3 new traces")
    news.wait_for()

    assert before == seen.bounding_box()
    news.click()
    reader.page.get_by_role("link", name="step 202").wait_for()
    assert 0 == reader.page.evaluate("scrollY")
    assert [] == reader.complaints


def test_a_page_is_of_the_database_that_the_collector_has(
    tmp_path: Path, open_page
) -> None:
    """Where it comes back with another one, whose numbers go on, the page does too."""
    with running_collector(tmp_path / "a.db") as collector:
        post(collector, event(1), event(2))
        reader = open_page(collector.origin + "/traces")
        reader.page.get_by_role("link", name="step 2").wait_for()
        post(collector, event(3))
        reader.page.get_by_role("link", name="step 3").wait_for()
        port = int(collector.origin.rpartition(":")[2])
    with running_collector(tmp_path / "b.db", port=port) as collector:
        post(collector, *(event(n) for n in range(10, 15)))
        reader.page.get_by_role("link", name="step 10").wait_for()
        post(collector, event(20))
        reader.page.get_by_role("link", name="step 20").wait_for()

        assert 6 == reader.page.locator("a.row").count()


def test_a_trace_opens_by_keyboard_and_has_addresses(shop, open_page) -> None:
    """Enter opens, Escape closes, reload and back bring what was there."""
    reader = open_page(shop.origin + "/traces")
    page = reader.page
    row = page.get_by_role("link", name="answer").first
    row.wait_for()
    row.focus()
    page.keyboard.press("Enter")
    reader.heading("answer")
    calls = page.get_by_role("row")
    call = calls.filter(has_text="write answer").first
    call.click()
    page.get_by_role("heading", name="Output").wait_for()
    assert "event=" in page.url
    address = page.url
    page.reload()
    page.get_by_role("heading", name="Output").wait_for()
    assert address == page.url
    page.keyboard.press("Escape")
    reader.until("!location.search.includes('event=')")
    page.go_back()
    reader.heading("Traces")

    assert [] == reader.complaints


def test_a_filter_is_part_of_the_address(shop, open_page) -> None:
    """Chosen, reloaded, gone back from: the list is what the address says."""
    reader = open_page(shop.origin + "/traces")
    page = reader.page
    page.get_by_role("link", name="answer").first.wait_for()
    page.get_by_label("Status").select_option("success")
    reader.until("location.search.includes('status=success')")
    page.get_by_role("link", name="answer").wait_for(state="detached")
    page.reload()
    reader.heading("Traces")
    assert "success" == page.get_by_label("Status").input_value()
    page.keyboard.press("/")
    page.keyboard.type("parcels")
    reader.until("location.search.includes('q=parcels')")

    assert [] == reader.complaints


def test_what_became_slower_is_told(collector, open_page) -> None:
    """The overview compares the latencies of an hour with those of the hour before."""
    now = datetime.datetime.now(datetime.timezone.utc)
    for number in range(12):
        minutes, latency_ms = (1, 300) if number < 6 else (90, 100)
        at = (now - datetime.timedelta(minutes=minutes)).isoformat()
        post(collector, event(number, timestamp=at, latency_ms=latency_ms))
    reader = open_page(collector.origin + "/")
    reader.heading("Overview")

    told = reader.page.get_by_text("slower: p95").first
    told.wait_for()
    # To within 6 %, as it is told.
    found = re.search("p95 ≈ ([0-9]+) ms before, ≈ ([0-9]+) ms now", told.inner_text())
    assert found is not None
    assert [100, 300] == [pytest.approx(int(ms), rel=0.06) for ms in found.groups()]
    assert [] == reader.complaints


def test_what_is_known_roughly_is_not_told_exactly(collector, open_page) -> None:
    """A latency of 300 ms is counted among its like, and never told as 303 ms."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    post(collector, event(1, latency_ms=300, timestamp=now))
    reader = open_page(collector.origin)
    reader.heading("Overview")
    shown = reader.page.locator("main")
    assert "≈ 300 ms" in shown.inner_text()
    assert "≈ 300 ms, to within 6 %" in shown.inner_html()

    assert "303" not in shown.inner_html()
    assert [] == reader.complaints


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("path", ["/", "/traces", "/sessions"])
def test_a_date_of_ones_own_is_seen_whole(
    shop, open_page, path: str, viewport: Dict[str, int]
) -> None:
    """Its fields are as wide as what stands in them, and their row is level."""
    reader = open_page(shop.origin + path, viewport=viewport)
    reader.page.get_by_text("support-bot").first.wait_for()
    if path == "/":
        reader.page.get_by_label("Custom").check()
    else:
        if viewport is PHONE:
            reader.page.get_by_role("button", name="Filters").click()
        reader.page.get_by_label("Time").select_option("custom")
    for name in ("From", "To"):
        field = reader.page.get_by_label(name, exact=True)
        field.fill("2026-12-27T17:30")

        assert field.evaluate(_WANTED) <= field.evaluate("e => e.offsetWidth")
    apply = reader.page.get_by_role("button", name="Apply")
    assert apply.evaluate("e => e.parentElement.lastElementChild.offsetHeight") == 0
    assert [] == reader.complaints


_WANTED = """e => { const one = e.cloneNode(); one.style.width = 'auto';
 one.style.position = 'fixed'; e.after(one); const { offsetWidth } = one; one.remove();
 return offsetWidth }"""
"""How wide a field would be by itself."""


@pytest.mark.parametrize("path", ["/traces", "/sessions"])
def test_a_name_is_cut_on_a_phone_only_where_there_is_no_room(
    collector, open_page, path: str
) -> None:
    """The time above the cost, however long, takes nothing from the agent."""
    metadata = {"session_id": "talk", "total_tokens": 4_100}
    post(collector, event(1, agent_id="supporter", cost_usd=0.02, metadata=metadata))
    reader = open_page(collector.origin + path, viewport=PHONE)
    row = reader.page.locator("a.row")
    row.wait_for()
    agent, cost = row.locator(".c-agent"), row.locator(".c-cost .number")

    assert agent.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    free = row.locator(".c-tokens").bounding_box()
    assert cost.bounding_box()["x"] - free["x"] - free["width"] < 12
    assert 0 == reader.page.locator(".row-head:visible").count()
    assert [] == reader.complaints


def test_the_key_is_asked_for_once(tmp_path: Path, open_page) -> None:
    """A wrong one is said to be wrong; the right one is kept, until it is forgotten."""
    with running_collector(tmp_path / "a.db", KEY) as collector:
        post(collector, event(1))
        reader = open_page(collector.origin + "/traces")
        page = reader.page
        field = page.locator("dialog input")
        field.fill("x" * 32)
        page.keyboard.press("Enter")
        page.get_by_text("refused").wait_for()
        page.locator("dialog input").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="step 1").wait_for()
        page.reload()
        page.get_by_role("link", name="step 1").wait_for()
        assert KEY not in page.content()
        page.get_by_role("button", name="Forget the key").click()
        page.locator("dialog input").wait_for()

    assert all("401" in complaint for complaint in reader.complaints)


@pytest.mark.parametrize(
    "key", ["\u043a\u043b\u044e\u0447" * 8, "x y" * 11], ids=["letters", "spaces"]
)
def test_a_key_that_cannot_be_one_locks_nobody_out(
    tmp_path: Path, open_page, key: str
) -> None:
    """Typed, it is said to be none; kept or in the address, it is refused as others."""
    with running_collector(tmp_path / "a.db", KEY) as collector:
        post(collector, event(1))
        reader = open_page(f"{collector.origin}/traces#key={key}")
        page = reader.page
        page.get_by_text("refused").wait_for()
        page.locator("dialog input").fill(key)
        page.keyboard.press("Enter")
        page.get_by_text("That cannot be the key").wait_for()
        page.reload()
        page.get_by_text("refused").wait_for()
        page.locator("dialog input").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="step 1").wait_for()

    assert all("401" in complaint for complaint in reader.complaints)


def test_the_key_in_the_address_leaves_it(tmp_path: Path, open_page) -> None:
    """The demo's link opens at once, and what is shown or copied holds no key."""
    with running_collector(tmp_path / "a.db", KEY) as collector:
        post(collector, event(1))
        reader = open_page(f"{collector.origin}/traces#key={KEY}")
        reader.page.get_by_role("link", name="step 1").wait_for()

        assert collector.origin + "/traces" == reader.page.url
        assert KEY not in reader.page.content()
    assert [] == reader.complaints


def test_a_session_reads_as_a_conversation(collector, open_page) -> None:
    """What was asked and what was answered, in the order of time."""
    for number in range(3):
        post(
            collector,
            event(
                number,
                input_data={"question": f"question {number}"},
                output_data={"value": f"reply {number}"},
                metadata={"session_id": "talk"},
            ),
        )
    reader = open_page(collector.origin + "/sessions/talk")
    reader.page.get_by_text("reply 2").first.wait_for()
    text = reader.page.locator("main").inner_text()
    places = [
        text.index(f"{word} {number}")
        for number in range(3)
        for word in ("question", "reply")
    ]

    assert sorted(places) == places
    assert [] == reader.complaints


def test_a_turn_that_comes_late_stands_where_it_belongs(collector, open_page) -> None:
    """Out of a spool, perhaps, and long after others were looked at."""

    def say(*numbers: int) -> None:
        named = {"metadata": {"session_id": "talk"}}
        said = [
            event(n, output_data={"value": f"reply {n}!"}, **named) for n in numbers
        ]
        post(collector, *said)

    say(30, 10, *(n for n in range(100, 180) if n != 175))
    reader = open_page(collector.origin + "/sessions/talk")
    reader.page.get_by_text("reply 10!").wait_for()
    reader.page.get_by_role("button", name="Load more").click()
    reader.page.get_by_text("reply 179!").wait_for()
    for late in (20, 200, 0, 175):
        say(late)
        reader.page.get_by_text(f"reply {late}!").wait_for()
    text = reader.page.locator("main").inner_text()
    shown = [int(number) for number in re.findall(r"reply (\d+)!", text)]

    assert [0, 10, 20, 30, *range(100, 180), 200] == shown
    assert [] == reader.complaints


def test_many_calls_stay_usable(collector, open_page) -> None:
    """A trace of two thousand calls, nested a hundred deep, is drawn and scrolls."""
    for start in range(0, 2_000, 100):
        post(
            collector,
            *(
                event(
                    number,
                    metadata={
                        "trace_id": "a" * 32,
                        "parent_span_id": f"{number:016x}" if number % 100 else None,
                    },
                )
                for number in range(start, start + 100)
            ),
        )
    reader = open_page(f"{collector.origin}/traces/{'a' * 32}")
    reader.page.get_by_role("row").filter(has_text="step 1999").wait_for()

    assert [] == reader.complaints


def test_an_address_that_is_none_says_so_in_words(collector, open_page) -> None:
    """A person reads a page that leads back; a list may be asked for as a folder."""
    reader = open_page(collector.origin + "/trace")
    reader.heading("There is no such page")
    reader.page.get_by_role("link", name="Go to the overview").wait_for()
    assert ["404 (Not Found)"] == [text[-15:] for text in reader.complaints]
    post(collector, event(1))
    for path, heading in (("/traces/", "Traces"), ("/sessions/", "Sessions")):
        reader = open_page(collector.origin + path)
        reader.heading(heading)

        assert [] == reader.complaints


def test_a_status_is_level_with_its_mark(collector, open_page) -> None:
    """Wherever a summary tells of one."""
    post(collector, event(1))
    reader = open_page(f"{collector.origin}/traces/{2:032x}?event=1")
    reader.page.get_by_role("heading", name="Output").wait_for()
    heights = reader.page.evaluate(_HEIGHTS)

    assert 2 == len(heights)
    for mark, word in heights:
        assert abs(mark - word) < 2
    assert [] == reader.complaints


_HEIGHTS = """[...document.querySelectorAll('.facts .mark')].map(mark => {
 const word = document.createRange(); word.selectNodeContents(mark.nextSibling);
 return [mark, word].map(one => one.getBoundingClientRect())
 .map(place => (place.top + place.bottom) / 2) })"""
"""Where the middle of each mark is, and that of its word."""


def test_a_trace_without_length_has_no_axis(collector, open_page) -> None:
    """A moment begins at 0, and there is nothing after it to be told apart."""
    post(collector, event(1, latency_ms=0), event(2, latency_ms=None))
    for number in (1, 2):
        reader = open_page(f"{collector.origin}/traces/{number + 1:032x}")
        reader.page.locator(".w-body .w-row").wait_for()

        assert ["0"] == reader.page.locator(".w-tick:visible").all_inner_texts()
        assert [] == reader.complaints


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_no_time_of_an_axis_stands_over_another(
    collector, open_page, viewport: Dict[str, int]
) -> None:
    """As many are there as have room, the first of them always."""
    lengths = (3, 900, 2_000, 95_000, 200_000, 7_500_000)
    post(collector, *(event(n, latency_ms=ms) for n, ms in enumerate(lengths)))
    reader = open_page(collector.origin, viewport=viewport)
    for number in range(len(lengths)):
        reader.page.goto(f"{collector.origin}/traces/{number + 1:032x}")
        reader.page.locator(".w-tick", has_text="0").first.wait_for()
        reader.until("document.querySelectorAll('.w-tick:not([hidden])').length > 1")
        edges = reader.page.evaluate(_EDGES)

        assert sorted(edges) == edges, lengths[number]
    assert [] == reader.complaints


_EDGES = """[...document.querySelectorAll('.w-tick:not([hidden])')]
 .map(e => e.getBoundingClientRect()).flatMap(place => [place.left, place.right])
 .concat(document.querySelector('.w-axis').getBoundingClientRect().right)"""
"""Where each label begins and ends, and in the end the axis."""


def test_a_cut_trace_says_nothing_wrong(collector, open_page, monkeypatch) -> None:
    """No sum of a part passes for the whole, and what failed is drawn and found."""
    monkeypatch.setattr(views, "MAX_SPANS", 5)
    inside = {"trace_id": "a" * 32, "parent_span_id": "f" * 16, "input_tokens": 100}
    calls = [event(n, cost_usd=0.01, metadata=inside) for n in range(1, 9)]
    root = {"trace_id": "a" * 32, "span_id": "f" * 16, "parent_span_id": None}
    calls[-1]["status"] = "error"
    post(collector, *calls, event(0, metadata=root))
    reader = open_page(f"{collector.origin}/traces/{'a' * 32}")
    page = reader.page
    page.get_by_text(
        "Only 7 of 9 calls are drawn: the first ones, and the one"
    ).wait_for()
    assert 0 == page.get_by_text("sum").count()
    page.get_by_role("button", name="Next error").click()
    page.get_by_role("heading", name="step 8").wait_for()
    page.goto(f"{collector.origin}/traces/{'a' * 32}?event=7")

    page.get_by_role("heading", name="step 7").wait_for()
    page.locator(".detail").get_by_text("100", exact=True).first.wait_for()
    assert [] == reader.complaints

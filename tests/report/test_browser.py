"""The pages in a real browser, which is told what to do over its own pipe: no driver is needed."""

import base64
import json
import os
import re
import shutil
import subprocess

import pytest

from hybridleuk.report.audit import audit_report
from hybridleuk.report.html import comparison_report

BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
NARROW, WIDE = 400, 1400
LIGHT, DARK = "light", "dark"
OVERFLOWING = """
[...document.querySelectorAll('body *')].filter(element => {
  const box = element.getBoundingClientRect();
  const clipped = element.closest('.scroll, .unseen, .skip, svg');
  return !clipped && box.width && (box.right > innerWidth + 1 || box.left < -1);
}).map(element => element.outerHTML.slice(0, 120))
"""
CONTRAST = """
(() => {
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(Number).map(value => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = element => {
    const ink = light(getComputedStyle(element).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  return Math.min(...[...document.querySelectorAll('p, figcaption, a, summary, .quiet')]
    .filter(element => !element.closest('svg, .note, .skip')).map(ratio));
})()
"""


class Browser:
    """Chromium, spoken to in its DevTools protocol: messages of JSON that end with a zero byte."""

    def __init__(self, program, profile):
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()

        def as_descriptors_3_and_4():
            # Both are moved out of the way first: either may already be 3 or 4.
            commands, answers = os.dup(to_browser), os.dup(from_browser)
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=as_descriptors_3_and_4,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._rest, self.events = 0, b"", []
        pages = self.ask("Target.getTargets", session=None)["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        attached = self.ask("Target.attachToTarget", session=None, targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method, session="page", **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def wait(self, event):
        while not any(seen["method"] == event for seen in self.events):
            self.events.append(self._next())

    def _next(self):
        while b"\0" not in self._rest:
            read = os.read(self._read, 1 << 20)
            assert read, "the browser has gone"
            self._rest += read
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, address, width, scheme):
        self.events = []
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.ask("Page.navigate", url=address)
        self.wait("Page.loadEventFired")

    def run(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, code):
        for kind in ("rawKeyDown", "keyUp"):
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def picture(self, path, height=None):
        box = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "scale": 1, "width": box["width"]}
        clip["height"] = min(box["height"], height or box["height"])
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self._process.kill()
        self._process.wait()
        os.close(self._write)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser to open the report in; looked for {', '.join(BROWSERS)}")
    if os.name != "posix":
        pytest.skip("pipes to the browser are made as POSIX systems make them")
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def address(complete, predictions, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(comparison_report(complete, predictions), "utf-8")
    return path.as_uri()


@pytest.fixture(params=["comparison", "audit"])
def either(request, tmp_path):
    """Address of a page of each kind."""
    if request.param == "comparison":
        return request.getfixturevalue("address")
    path = tmp_path / "audit.html"
    named = (request.getfixturevalue(name) for name in ("audited", "left_out"))
    path.write_text(audit_report(*named), "utf-8")
    return path.as_uri()


def complaints(browser):
    """What the console, the page and the security policy had to say."""
    named = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    return [event["params"] for event in browser.events if event["method"] in named]


def requests(browser):
    sent = [e["params"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    return {re.match(r"\w+:", event["request"]["url"])[0] for event in sent}


def test_no_complaint_and_no_request(browser, either):
    browser.open(either, WIDE, LIGHT)
    assert complaints(browser) == []
    assert requests(browser) <= {"file:", "data:"}
    assert browser.run("document.scripts.length") == 0


def test_this_test_sees_a_complaint(browser, tmp_path):
    page = tmp_path / "wrong.html"
    page.write_text(
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
        "<img src='http://127.0.0.1:9/none.png'><p style='width:900px;height:9px'>"
    )
    browser.open(page.as_uri(), NARROW, LIGHT)
    assert complaints(browser)


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_nothing_leaves_the_screen_and_all_can_be_read(browser, either, width, scheme):
    browser.open(either, width, scheme)
    browser.run("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(OVERFLOWING) == []
    assert browser.run(CONTRAST) >= 4.5


def test_every_figure_takes_its_place(browser, address):
    browser.open(address, WIDE, LIGHT)
    browser.run("document.querySelectorAll('details').forEach(folded => { folded.open = true; })")
    sizes = browser.run(
        "Object.fromEntries([...document.querySelectorAll('figure')].map(figure => "
        "[figure.id, [figure.offsetWidth, figure.offsetHeight]]))"
    )
    assert len(sizes) >= 21
    for name, (width, height) in sizes.items():
        assert width > 300, name
        assert height > 40, name
    assert browser.run("[...document.images].every(image => image.naturalWidth > 0)")


def test_pictures_of_an_audit_are_shown_side_by_side(browser, audited, left_out, tmp_path):
    (tmp_path / "audit.html").write_text(audit_report(audited, left_out), "utf-8")
    for width in (WIDE, NARROW):
        browser.open((tmp_path / "audit.html").as_uri(), width, LIGHT)
        tops, lefts = (
            browser.run(
                "[...document.querySelectorAll('.set:first-child .strip:not(.small) img')]"
                f".slice(0, 2).map(image => Math.round(image.getBoundingClientRect().{side}))"
            )
            for side in ("top", "left")
        )
        assert tops[0] == tops[1]
        assert lefts[0] < lefts[1]
        assert browser.run("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_first_screen_holds_the_verdict_and_wide_ones_the_contents(browser, address):
    for width in (WIDE, NARROW):
        browser.open(address, width, LIGHT)
        top = browser.run("document.querySelector('#verdict').getBoundingClientRect().top")
        assert top < 400
        link = "document.querySelector('nav a[href=\"#protocol\"]').checkVisibility()"
        assert browser.run(link) == (width == WIDE)
    browser.run("document.querySelector('nav summary').click()")
    assert browser.run(link)
    browser.run("document.querySelector('nav a[href=\"#protocol\"]').click()")
    assert browser.run("location.hash") == "#protocol"


def test_keys_reach_the_map_and_go_from_point_to_point(browser, address):
    browser.open(address, WIDE, LIGHT)
    browser.run("document.querySelector('#importance summary').focus()")
    for _ in range(3):
        browser.press("Tab", 9)
        if browser.run("document.activeElement.name") == "map":
            break
    said = "document.activeElement.getAttribute('aria-label')"
    seen = "getComputedStyle(document.activeElement.parentElement.querySelector('.seen')).display"
    first = browser.run(said)
    assert browser.run(seen) == "block"
    assert "image_" in first
    browser.press("ArrowRight", 39)
    assert browser.run(said) != first
    assert browser.run(seen) == "block"
    shown = "[...document.querySelectorAll('.seen')].filter(box => box.offsetWidth).length"
    assert browser.run(shown) == 1
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.name") != "map"


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_pointing_at_any_mark_shows_its_picture_inside_the_screen(browser, address, width):
    browser.open(address, width, LIGHT)
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        browser.run(
            "[...document.querySelectorAll('.at')].map(mark => {"
            "const value = name => +mark.style.getPropertyValue(name);"
            f"return [Math.abs(value('--x') - {x}) + Math.abs(value('--y') - {y}), mark];"
            "}).sort((a, b) => a[0] - b[0])[0][1].querySelector('input').click()"
        )
        assert browser.run("document.querySelector(':checked ~ .seen').offsetWidth") > 60
        assert browser.run(OVERFLOWING) == []
    sheet = browser.run("getComputedStyle(document.querySelector('.tile')).backgroundImage")
    assert sheet.startswith('url("data:image/jpeg')


def test_printing_unfolds_everything(browser, either):
    browser.open(either, WIDE, DARK)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    hidden = (
        "[...document.querySelectorAll('details > :not(summary)')]"
        ".filter(element => !element.closest('nav') && !element.checkVisibility()).length"
    )
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    shown = browser.run(hidden)
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert paper == "rgb(255, 255, 255)"
    assert shown == 0
    assert browser.run(hidden) > 0

"""The page of `signpost trace --output html`, as a real browser shows it."""
import html
import json
import os
import re
import shutil
import struct
import subprocess
import zlib

import pytest

from lab_world import close_lab, open_lab

BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")

# What a reader would see at a glance, asked of the browser: is anything cut, on top of something else, or from elsewhere?
LOOK = """<script>
window.errors = [];
window.addEventListener("error", e => errors.push(String(e.message || e.target)), true);
window.addEventListener("load", () => {
  const texts = [...document.querySelectorAll("svg text")];
  const box = document.querySelector("svg") ? document.querySelector("svg").getBoundingClientRect() : null;
  const cut = texts.filter(t => { const b = t.getBoundingClientRect();
    return b.left < box.left || b.right > box.right + 1 || b.top < box.top || b.bottom > box.bottom; });
  const over = [];
  texts.forEach((a, i) => texts.slice(i + 1).forEach(b => {
    const x = a.getBoundingClientRect(), y = b.getBoundingClientRect();
    if (a.textContent && b.textContent && x.left < y.right - 1 && y.left < x.right - 1 && x.top < y.bottom - 2 && y.top < x.bottom - 2)
      over.push(a.textContent + " / " + b.textContent); }));
  const said = {errors: errors, wide: document.documentElement.scrollWidth - window.innerWidth,
    resources: performance.getEntriesByType("resource").map(r => r.name),
    cut: cut.map(t => t.textContent), over: over,
    arrows: document.querySelectorAll("svg line.arrow").length,
    smallest: Math.min(...texts.map(t => parseFloat(getComputedStyle(t).fontSize) * box.width / 1060)),
    steps: [...document.querySelectorAll("table th")].map(t => t.textContent),
    verdict: document.querySelector(".verdict").textContent, causes: document.querySelectorAll(".why li").length};
  document.body.dataset.look = JSON.stringify(said);
});
</script>"""


class Browser:
    """Each call is a browser of its own, with a profile that nobody else has, and no network."""

    def __init__(self, tmp):
        self.tmp = tmp
        self.n = 0

    def run(self, page, width, height, *flags):
        self.n += 1
        home = self.tmp / ("profile-%d" % self.n)
        home.mkdir()
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                   "--disable-background-networking", "--proxy-server=127.0.0.1:9", "--user-data-dir=%s" % home,
                   "--window-size=%d,%d" % (width, height), *flags, page.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def look(self, text, width):
        page = self.tmp / "look.html"
        page.write_text(text.replace("</title>", "</title>" + LOOK, 1))
        found = re.search(r'data-look="([^"]*)"', self.run(page, width, 900, "--dump-dom"))
        return json.loads(html.unescape(found.group(1)))

    def picture(self, text, width, height, *flags):
        page, shot = self.tmp / "page.html", self.tmp / ("shot-%d.png" % self.n)
        page.write_text(text)
        self.run(page, width, height, "--screenshot=%s" % shot, *flags)
        return Picture(shot.read_bytes())


class Picture:
    """A PNG of 8 bits a channel."""

    def __init__(self, data):
        self.width, self.height, depth, kind = struct.unpack(">IIBB", data[16:26])
        self.channels = {2: 3, 6: 4}[kind]
        assert depth == 8
        parts, at = [], 8
        while at < len(data):
            size, name = struct.unpack(">I4s", data[at:at + 8])
            if name == b"IDAT":
                parts.append(data[at + 8:at + 8 + size])
            at += size + 12
        self.rows = list(self.unfilter(zlib.decompress(b"".join(parts))))

    def unfilter(self, data):
        step, size = self.channels, self.width * self.channels
        above = bytearray(size)
        for y in range(self.height):
            kind, row = data[y * (size + 1)], bytearray(data[y * (size + 1) + 1:(y + 1) * (size + 1)])
            for i in range(size if kind else 0):
                a, b, c = (row[i - step], above[i], above[i - step]) if i >= step else (0, above[i], 0)
                if kind == 4:
                    p = a + b - c
                    near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
                else:
                    near = (a, b, (a + b) // 2)[kind - 1]
                row[i] = (row[i] + near) & 255
            above = row
            yield row

    def colours(self):
        """Colour -> its part of the picture."""
        found = {}
        for row in self.rows:
            for i in range(0, len(row), self.channels):
                key = (row[i], row[i + 1], row[i + 2])
                found[key] = found.get(key, 0) + 1
        return {key: n / (self.width * self.height) for key, n in found.items()}


@pytest.fixture(scope="module")
def lab(signpost, root):
    if not BROWSER:
        pytest.skip("there is no chromium-headless-shell")
    lab = open_lab(signpost)
    shutil.copytree(root / "examples" / "shop", lab.source, dirs_exist_ok=True)
    lab.call("up", str(lab.source))
    lab.call("break", "search-wildcard")
    lab.call("break", "five-seconds")
    yield lab
    close_lab(lab)


REQUESTS = {  # what is asked, with what ends; arrows, causes, and the colour that the verdict has
    "answered": (["shop/foo", "bar.other"], "answered with status 200", 9, 0, "good"),
    "refused": (["shop/foo", "empty"], "was refused by a rule of its node", 4, 1, "bad"),
    "nobody": (["search-wildcard/client", "api.partner"], "no rule of its node knew", 4, 2, "bad"),
    "unknown": (["shop/foo", "a-name-that-is-quite-long-and-that-nobody-has.another-namespace"], "there is no such name", 8, 1, "bad"),
    "slow": (["five-seconds/client", "web"], "answered with status 200", 9, 2, "good"),
}
LIGHT = {"good": (0x17, 0x7a, 0x45), "bad": (0xc0, 0x31, 0x2b), "paper": (255, 255, 255)}
DARK = {"good": (0x4c, 0xc5, 0x84), "bad": (0xff, 0x7b, 0x72), "paper": (0x14, 0x19, 0x1f)}


@pytest.fixture(scope="module")
def pages(lab):
    """Made once: they do not change."""
    made = {}
    for name, (arguments, *_) in REQUESTS.items():
        done = subprocess.run([lab.program, "trace", "--lab-dir", str(lab.dir), "--wait", "8", "--output", "html", *arguments],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        made[name] = done.stdout
    return made


@pytest.mark.parametrize("width", [1100, 420])
@pytest.mark.parametrize("name", REQUESTS)
def test_what_the_browser_makes_of_it(pages, tmp_path, name, width):
    _, words, arrows, causes, _ = REQUESTS[name]
    seen = Browser(tmp_path).look(pages[name], width)
    assert (seen["errors"], seen["resources"], seen["cut"], seen["over"]) == ([], [], [], [])
    assert seen["wide"] <= 0  # nothing sticks out of the window
    assert seen["smallest"] >= 8  # pixels: to be read, on a telephone, too
    assert words in seen["verdict"] and (seen["arrows"], seen["causes"]) == (arrows, causes), seen
    assert seen["steps"][:3] == ["name typed", "resolver", "queries"] and len(seen["steps"]) == 12


@pytest.mark.parametrize("name, width, flags, palette", [
    ("answered", 900, [], LIGHT), ("answered", 420, [], LIGHT), ("refused", 900, [], LIGHT),
    ("nobody", 900, ["--blink-settings=preferredColorScheme=0"], DARK),
])
def test_the_picture(pages, tmp_path, name, width, flags, palette):
    picture = Browser(tmp_path).picture(pages[name], width, 640, *flags)
    colours = picture.colours()
    assert (picture.width, picture.height) == (width, 640)
    assert 0.4 < colours[palette["paper"]] < 0.97 and len(colours) > 50  # neither blank nor painted all over
    assert colours.get(palette[REQUESTS[name][4]], 0) > 0.0002  # the verdict's mark


def test_the_page_is_all_there_is(pages):
    for text in pages.values():
        assert not re.search(r"<(script|link|img|iframe|object)|https?://(?!www.w3.org)[^ <]*[\"']|url\((?!#)|@import", text)

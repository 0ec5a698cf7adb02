"""Links within the built site reach a page, and its anchor."""

from __future__ import annotations

from urllib.parse import unquote, urljoin, urlparse

from bs4 import BeautifulSoup

from tests.site.conftest import SITE

HERE = "http://site/"
# Templates that the theme ships, and listings of source whose backward links nobody maintains.
NOT_OURS = ("_static/", "_modules/")


def page_names():
    names = (path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    return [name for name in names if not name.startswith(NOT_OURS)]


def read(name):
    return BeautifulSoup((SITE / name).read_text(), "html.parser")


def broken_links(pages):
    """A line for each link of the parsed pages (name -> soup) that leads nowhere."""
    anchors = {
        name: {tag["id"] for tag in soup.find_all(id=True)}
        | {tag["name"] for tag in soup.find_all("a", attrs={"name": True})}
        for name, soup in pages.items()
    }
    broken = []
    for name, soup in pages.items():
        for tag in soup.find_all(["a", "img", "link", "script"]):
            reference = tag.get("href") or tag.get("src")
            link = urlparse(urljoin(HERE + name, reference or ""))
            if not reference or link.netloc != "site":
                continue
            target, anchor = unquote(link.path.lstrip("/")) or "index.html", unquote(link.fragment)
            if target in anchors:
                if anchor and anchor not in anchors[target]:
                    broken.append(f"{name}: {target} has no #{anchor}")
            elif not (SITE / target).is_file():
                broken.append(f"{name}: {target} is not there")
    return broken


def test_links_lead_somewhere():
    names = page_names()
    assert names, "the site is not built: run `make site`, then `make test-site`"
    assert broken_links({name: read(name) for name in names}) == []


def test_a_broken_link_is_found():
    pages = {
        "a.html": BeautifulSoup(
            '<a href="b.html#here"></a><a href="b.html#gone"></a>', "html.parser"
        ),
        "b.html": BeautifulSoup('<p id="here"><a href="c/none.html"></a></p>', "html.parser"),
    }
    assert broken_links(pages) == [
        "a.html: b.html has no #gone",
        "b.html: c/none.html is not there",
    ]

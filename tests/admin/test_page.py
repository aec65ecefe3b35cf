"""The files of the page: what is served, with which headers, and that the page loads nothing else."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tests.admin.test_admin import Site

FILES = {each.name: each.read_text() for each in (files("redisproxy.admin") / "assets").iterdir()}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("app.js", "text/javascript"), ("style.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
def test_a_file_is_served_with_its_type(site: Site, name: str, kind: str) -> None:
    status, headers, body = site.ask("GET", f"/assets/{name}")
    assert status == 200 and headers["content-type"].startswith(kind) and body.decode() == FILES[name]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/assets/app.js"])
def test_a_browser_that_has_a_file_is_told_that_it_is_the_same(site: Site, path: str) -> None:
    _, headers, _ = site.ask("GET", path)
    assert headers["cache-control"] == "no-cache"
    status, _, body = site.ask("GET", path, if_none_match=headers["etag"])
    assert status == 304 and not body
    assert site.ask("GET", path, if_none_match='"another"')[0] == 200


@pytest.mark.parametrize("path", ["/assets", "/assets/", "/assets/no.js", "/assets/../page.py", "/assets/x/app.js"])
def test_nothing_else_is_served(site: Site, path: str) -> None:
    assert site.ask("GET", path)[0] == 404


def test_scripts_and_styles_come_from_files_only(site: Site) -> None:
    policy = site.ask("GET", "/")[1]["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert "script-src 'self'" in policy and "trusted-types 'none'" in policy
    assert not re.search(r"<style|<script(?! type=.module. src=)|\sstyle=|\son\w+=", FILES["index.html"])


def test_nothing_comes_from_another_host() -> None:
    allowed = "http://www.w3.org/2000/svg"
    for name, text in FILES.items():
        assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text.replace(allowed, "")), name


def test_every_file_that_is_named_is_there() -> None:
    for name, text in FILES.items():
        named = re.findall(r"from \"\./([\w.]+)\"", text) + re.findall(r"\"/assets/([\w.]+)\"", text)
        assert set(named) <= FILES.keys(), name


def test_what_others_say_never_becomes_html() -> None:
    for name, text in FILES.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), name

"""The storefront's files in memory: which paths have one, and what keeps others out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import static_files
from gateway.payment_script import PaymentScript
from gateway.static_files import StaticFiles, content_security_policy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "front" / "pictures").mkdir(parents=True)
    (tmp_path / "front" / "index.html").write_text("<!doctype html>")
    (tmp_path / "front" / "app.js").write_text("export {}")
    (tmp_path / "front" / "pictures" / "ball.svg").write_text("<svg/>")
    return tmp_path / "front"


@pytest.mark.parametrize(
    "path", ["/", "/cart", "/cart/", "/checkout", "/checkout/or_1/delivery", "/product/prod_1", "/order/or_1/"]
)
def test_page_of_the_storefront_is_its_index(folder: Path, path: str) -> None:
    found = StaticFiles(folder).find(path)
    assert found is not None
    assert found.body == b"<!doctype html>"


@pytest.mark.parametrize(
    "path",
    [
        *("", "//", "/nothing", "/index.html", "/storefront/", "/storefront", "/storefront/index.html", "/order/"),
        *("/storefront/../gateway/api.py", "/storefront/pictures/../app.js", "/product/a/b", "/checkout/or_1"),
        *("/storefront/app.js/", "/product/a.b", "/cart\n", "/storefront/%61pp.js"),
    ],
)
def test_other_path_has_no_file(folder: Path, path: str) -> None:
    assert StaticFiles(folder).find(path) is None


def test_file_has_the_type_of_its_suffix(folder: Path) -> None:
    files = StaticFiles(folder)
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/storefront/app.js", "text/javascript; charset=utf-8"),
        ("/storefront/pictures/ball.svg", "image/svg+xml"),
    ):
        found = files.find(path)
        assert found is not None
        assert dict(found.headers)["content-type"] == kind


def test_hidden_files_links_and_other_types_are_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.js").write_text("secret")
    (folder / ".hidden.js").write_text("secret")
    (folder / ".git").mkdir()
    (folder / ".git" / "app.js").write_text("secret")
    (folder / "notes.md").write_text("secret")
    (folder / "link.js").symlink_to(tmp_path / "secret.js")
    files = StaticFiles(folder)
    for name in (".hidden.js", ".git/app.js", "notes.md", "link.js"):
        assert files.find(f"/storefront/{name}") is None, name


def test_files_that_do_not_fit_into_memory_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "large.js").write_bytes(b"x" * (static_files.MAX_FILE_BYTES + 1))
    with pytest.raises(ValueError, match=r"large\.js is too large"):
        StaticFiles(folder)
    (folder / "large.js").unlink()
    monkeypatch.setattr(static_files, "MAX_TOTAL_BYTES", 20)
    with pytest.raises(ValueError, match="too large"):
        StaticFiles(folder)


def test_folder_without_an_index_is_refused(folder: Path) -> None:
    (folder / "index.html").unlink()
    with pytest.raises(ValueError, match=r"has no index\.html"):
        StaticFiles(folder)


@pytest.mark.parametrize(
    ("sent", "status"), [("{}", 304), ("W/{}", 304), ('"other", {}', 304), ("*", 304), ('"x"', 200)]
)
def test_known_content_is_not_sent_again(folder: Path, sent: str, status: int) -> None:
    found = StaticFiles(folder).find("/storefront/app.js")
    assert found is not None
    answered, headers, body = found.answer({"HTTP_IF_NONE_MATCH": sent.format(found.etag)})
    assert answered == status
    assert body == (b"" if status == 304 else b"export {}")
    assert dict(headers)["etag"] == found.etag
    assert ("content-length" in dict(headers)) == (status == 200)


def test_policy_admits_only_own_scripts_and_styles() -> None:
    policy = dict(part.split(" ", 1) for part in content_security_policy().split("; "))
    assert policy["default-src"] == policy["trusted-types"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "frame-src" not in policy
    assert "unsafe" not in content_security_policy()


def test_policy_with_a_payment_script_admits_its_sources(folder: Path) -> None:
    script = PaymentScript("https://js.test/s.js", ("https://js.test",), ("https://f.test",), ("https://api.test",))
    files = StaticFiles(folder, script)
    page, code = files.find("/"), files.find("/storefront/app.js")
    assert page is not None
    assert code is not None
    policy = dict(part.split(" ", 1) for part in dict(page.headers)["content-security-policy"].split("; "))
    assert policy["script-src"] == "'self' https://js.test"
    assert policy["frame-src"] == "https://f.test"
    assert policy["connect-src"] == "'self' https://api.test"
    assert policy["trusted-types"] == "default"
    assert "unsafe" not in str(policy)
    assert dict(code.headers)["content-security-policy"] == content_security_policy()


def test_pages_that_a_bank_opens_may_come_back(folder: Path) -> None:
    script = PaymentScript("https://js.test/s.js", ("https://js.test",), ())
    for files, opener, referrer in (
        (StaticFiles(folder), "same-origin", "same-origin"),
        (StaticFiles(folder, script), "same-origin-allow-popups", "strict-origin-when-cross-origin"),
    ):
        page = files.find("/cart")
        assert page is not None
        assert dict(page.headers)["cross-origin-opener-policy"] == opener
        assert dict(page.headers)["referrer-policy"] == referrer


def test_page_names_the_payment_script() -> None:
    script = PaymentScript('https://js.test/s.js?"&', ("https://js.test",), ())
    for files, named in ((StaticFiles(), ""), (StaticFiles(script=script), "https://js.test/s.js?&quot;&amp;")):
        page = files.find("/")
        assert page is not None
        assert f'<meta name="stripe-js" content="{named}">' in page.body.decode()
        assert dict(page.headers)["content-length"] == str(len(page.body))


def test_page_of_a_live_shop_does_not_say_that_nothing_is_charged() -> None:
    sandbox, live = StaticFiles().find("/"), StaticFiles(demonstration=False).find("/")
    assert sandbox is not None
    assert live is not None
    assert b"nothing is charged" in sandbox.body
    assert b"nothing is charged" not in live.body
    assert b"demonstration" not in live.body
    assert b"Try the API" in live.body


def test_both_sides_know_the_same_pages() -> None:
    code = (static_files.STOREFRONT / "app.js").read_text(encoding="utf-8")
    patterns = re.findall(r"^  \[/(\^\S+\$)/, \w+\],$", code, re.MULTILINE)
    assert len(patterns) == 7
    script = [re.compile(pattern.replace("\\/", "/")) for pattern in patterns]
    samples = [
        "/",
        "/cart",
        "/cart/",
        "/checkout",
        "/checkout/",
        "/product",
        "/product/a",
        "/product/a/",
        "/order/o-_1",
    ]
    samples += [
        "/checkout/a",
        "/checkout/a/delivery",
        "/checkout/a/payment/",
        "/checkout/a/b",
        "/orders/a",
        "/order/a/b",
    ]
    samples += [f"/order/{'x' * 100}", f"/order/{'x' * 101}", "/order/a.b", "/api/cart", "/storefront/app.js"]
    for path in samples:
        assert any(each.search(path) for each in script) == bool(static_files.PAGES.fullmatch(path)), path

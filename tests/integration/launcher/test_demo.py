"""The demo catalogue in a whole shop: loaded once, completed after a crash, deleted, and left out where it must be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from launcher import demo
from launcher.demo import Demo
from launcher.demo_catalogue import CATALOGUE, MARK
from launcher.place import ROOT
from launcher.problem import Problem
from launcher.shop import Shop
from tests.process_coverage import coverage_env

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop.on_free_ports(tmp_path_factory.mktemp("demo") / "var", env=coverage_env()) as running:
        yield running


# Loading all 24 products takes seconds.
FEW = CATALOGUE[:5]


@pytest.fixture
def catalogue(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Demo]:
    """A catalogue of a few products."""
    monkeypatch.setattr(demo, "CATALOGUE", FEW)
    made = Demo(shop.url, shop.url)
    yield made
    made.delete()


def _products(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{shop.url}/api/products/?limit=100", timeout=30).json()["data"]
    return found


def _run(shop: Shop, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "launcher.demo", *arguments],
        cwd=ROOT,
        env={**shop.process_env(shop.amqp_uri), **env},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_second_load_adds_nothing(shop: Shop, catalogue: Demo) -> None:
    assert catalogue.load() == len(FEW)
    before = {product["id"] for product in _products(shop)}
    assert catalogue.load() == 0
    assert {product["id"] for product in _products(shop)} == before
    assert len(before) == len(FEW)


def test_load_after_a_crash_adds_what_is_missing(shop: Shop, catalogue: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    create, made = catalogue._create, []

    def crash(product: Any) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(product)
        create(product)

    with monkeypatch.context() as patch:
        patch.setattr(catalogue, "_create", crash)
        with pytest.raises(KeyboardInterrupt):
            catalogue.load()
    assert catalogue.load() == len(FEW) - 3
    assert sorted(each["metadata"][MARK] for each in _products(shop)) == sorted(each.slug for each in FEW)


def test_pictures_of_products_are_served(shop: Shop) -> None:
    catalogue = Demo(shop.url, shop.url)
    assert catalogue.load() == len(CATALOGUE)
    urls = {url for product in _products(shop) for url in product["images"]}
    urls |= {sku["image"] for product in _products(shop) for sku in product["skus"]["data"] if sku["image"]}
    assert len(urls) >= len(CATALOGUE)
    for url in urls:
        assert requests.get(url, timeout=30).headers["content-type"] == "image/svg+xml"
    assert catalogue.delete() == len(CATALOGUE)


def test_delete_leaves_the_shops_own_products(shop: Shop, catalogue: Demo) -> None:
    size = {"height": 1, "length": 1, "width": 1, "weight": 1}
    own = {"name": "Own", "price": 100, "package_dimensions": size, "metadata": {"category": "own"}}
    made = requests.post(f"{shop.url}/api/products/", json=own, timeout=30).json()
    catalogue.load()
    done = _run(shop, "--delete")
    assert (done.returncode, done.stdout) == (0, f"Deleted: {len(FEW)} products of the demo catalogue.\n")
    assert [product["id"] for product in _products(shop)] == [made["id"]]
    requests.delete(f"{shop.url}/api/products/{made['id']}/", timeout=30).raise_for_status()


def test_first_start_loads_once_and_not_after_a_delete(shop: Shop, catalogue: Demo, tmp_path: Path) -> None:
    done, said = tmp_path / "done", []
    demo.first(catalogue, done, said.append)
    assert done.exists()
    assert said == ["Loading the demo catalogue of 5 products …", "The demo catalogue is loaded."]
    assert len(_products(shop)) == len(FEW)


def test_in_a_container_it_is_loaded_once_with_the_published_port(shop: Shop, tmp_path: Path) -> None:
    container = {"VAR_DIR": str(tmp_path), "PUBLIC_URL": "", "GATEWAY_PORT": "9", "WEBHOOK_URL": shop.url}
    assert _run(shop, "--first", **container).returncode == 0
    pictures = {product["images"][0] for product in _products(shop)}
    assert len(pictures) == len(CATALOGUE)
    assert all(url.startswith("http://127.0.0.1:9/storefront/pictures/") for url in pictures)
    _run(shop, "--delete", **container)
    done = _run(shop, "--first", **container)
    assert (done.returncode, done.stdout + done.stderr, _products(shop)) == (0, "", [])


def test_first_start_leaves_a_shop_with_own_products_alone(shop: Shop, tmp_path: Path) -> None:
    size = {"height": 1, "length": 1, "width": 1, "weight": 1}
    own = {"name": "Own", "price": 100, "package_dimensions": size, "metadata": {"category": "own"}}
    made = requests.post(f"{shop.url}/api/products/", json=own, timeout=30).json()
    demo.first(Demo(shop.url, shop.url), tmp_path / "done", print)
    assert [product["id"] for product in _products(shop)] == [made["id"]]
    assert (tmp_path / "done").exists()
    requests.delete(f"{shop.url}/api/products/{made['id']}/", timeout=30).raise_for_status()


def test_start_without_demo_loads_nothing(shop: Shop) -> None:
    done = _run(shop, "--first", DEMO="false")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert _products(shop) == []


def test_nothing_is_loaded_with_a_real_provider(shop: Shop) -> None:
    done = _run(shop, SHIPPO_API_KEY="not-a-key")
    assert done.returncode == 1
    assert done.stderr == "The demo catalogue is never loaded with a real provider (SHIPPO_API_KEY).\n"
    assert _run(shop, "--first", SHIPPO_API_KEY="not-a-key").returncode == 0
    assert _products(shop) == []


def test_refused_product_is_reported() -> None:
    nobody = Demo("http://127.0.0.1:9", "http://127.0.0.1:9")
    nobody._session.mount("http://", requests.adapters.HTTPAdapter(max_retries=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "ATTEMPTS", 1)
        with pytest.raises(Problem, match="does not answer"):
            nobody.load()

"""The wire is Nameko's own: its clients, its services and its shell work with ours."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy

from chassis.rpc.client import RpcClient
from contracts.errors import NotFound, Refused
from tests.integration.chassis.running import NAMEKO, ROOT, Service

Stubs = dict[str, Service]


def test_namekos_own_client_calls_our_service(uri: str, stubs: Stubs) -> None:
    with ClusterRpcProxy({"AMQP_URI": uri}, timeout=60) as cluster:
        echo = cluster[stubs["echo"].name]
        assert echo.echo(1, two="zwei") == {"args": [1], "kwargs": {"two": "zwei"}}
        with pytest.raises(Refused) as refused:
            echo.fail("Refused", "Nowhere.", {"zip": None})
        assert (refused.value.detail, refused.value.facts) == ("Nowhere.", {"zip": None})
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            echo.bug()


def test_our_client_calls_a_service_on_namekos_own_entrypoint(client: RpcClient, stubs: Stubs) -> None:
    stock = stubs["stock"].name
    assert client.call(stock, "echo", [1, None], {"a": "ä"}) == {"args": [1, None], "kwargs": {"a": "ä"}}
    with pytest.raises(NotFound) as missing:
        client.call(stock, "fail")
    assert (missing.value.detail, missing.value.facts) == ("Not in stock.", {"sku": "sku_1"})


def test_namekos_own_dependency_calls_our_service(client: RpcClient, stubs: Stubs) -> None:
    stock = stubs["stock"].name
    assert client.call(stock, "relay", ["one", [1]]) == [1]
    with pytest.raises(NotFound) as missing:
        client.call(stock, "relay", ["fail", "NotFound", "Gone.", {}])
    assert missing.value.detail == "Gone."


def test_the_shell_calls_our_service(uri: str, stubs: Stubs) -> None:
    script = f"print(n.rpc[{stubs['echo'].name!r}].one('from the shell'))\n"
    done = subprocess.run(
        [sys.executable, NAMEKO, "shell", "--config", "config.yml", "--interface", "plain"],
        cwd=ROOT,
        input=script,
        env={**os.environ, "AMQP_URI": uri},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "from the shell" in done.stdout, done.stderr

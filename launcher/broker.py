"""Which RabbitMQ a copy of the shop uses: a configured one, a private node, or a container."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from amqp.exceptions import AccessRefused, NotAllowed

from chassis.rpc import broker_connection
from launcher import packages, rabbitmq
from launcher.after_broker import address
from launcher.problem import Problem
from launcher.runtime_dir import RuntimeDir
from launcher.supervision import Program

IMAGE = "rabbitmq:4-management"  # the one of docker-compose.yml
WRONG_USER = "it refuses this user, password or vhost"
PULL_WAIT_S = 900  # seconds; 100 MB on a slow line


@dataclass(frozen=True)
class Broker:
    """A broker to use: its URI, the programs to supervise for it (none for an external one), and the private node."""

    uri: str = field(repr=False)
    programs: list[Program] = field(default_factory=list)
    node: rabbitmq.Node | None = None

    def stands(self) -> bool:
        """Whether it can be used. Creates the copy's user on a private node that does not have it yet; raises Problem
        when that fails."""
        reason = refusal(self.uri)
        if self.node and reason == WRONG_USER:
            self.node.admit()
            reason = refusal(self.uri)
        return reason is None


def choose(
    runtime: RuntimeDir, gateway_port: int, given: str | None, say: Callable[[str], None], avoid: Iterable[int] = ()
) -> Broker:
    """Find or install a broker for one copy; a private one is described, not started, and uses no port of `avoid`.

    Raises Problem when no broker is available.
    """
    if given:
        reason = refusal(given)
        if reason:
            host, port = address(given)
            raise Problem(f"The broker of AMQP_URI at {host}:{port} cannot be used: {reason}.")
        return Broker(given)
    ensure_server(say)
    ports = rabbitmq.NodePorts.choose(gateway_port, avoid)
    credentials = rabbitmq.Credentials.of(runtime)
    server = packages.rabbitmq_server()
    if server:
        node = rabbitmq.Node(runtime, ports, server, credentials)
        chosen = Broker(node.uri, node.programs(), node)
    elif packages.container_engine_runs():
        chosen = Broker(credentials.uri(ports.amqp), [_container(runtime, ports.amqp, credentials, say)])
    else:
        raise Problem(packages.no_rabbitmq())
    return chosen


def ensure_server(say: Callable[[str], None]) -> None:
    """Install RabbitMQ when it is missing and can be installed. Otherwise raises no error, because a container may
    do."""
    if packages.rabbitmq_server():
        return
    manager = packages.available()
    if manager and not packages.install(packages.RABBITMQ, manager, say):
        say(f"{manager.program} could not install RabbitMQ.")


def refusal(uri: str, timeout: float = 3.0) -> str | None:
    """Return why the broker at `uri` cannot be used, in a few words without its password; None when it can."""
    try:
        broker_connection.connect(uri, "launcher", timeout).close()
    except (AccessRefused, NotAllowed):
        return WRONG_USER
    except OSError as error:
        return error.strerror.lower() if error.strerror else "it does not answer"
    except Exception as error:  # an invalid URI, or a server with another protocol
        return f"{type(error).__name__} when connecting"
    return None


def container_name(runtime: RuntimeDir) -> str:
    """Return the name of the copy's RabbitMQ container."""
    return f"shop-rabbitmq-{runtime.id}"


def remove_container(runtime: RuntimeDir) -> None:
    """Remove the copy's container, if a killed supervisor left one."""
    if shutil.which("docker"):
        try:
            subprocess.run(["docker", "rm", "-f", container_name(runtime)], capture_output=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return


def _container(
    runtime: RuntimeDir, port: int, credentials: rabbitmq.Credentials, say: Callable[[str], None]
) -> Program:
    say(f"RabbitMQ runs in a container of {IMAGE}.")
    remove_container(runtime)
    here = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, timeout=30).returncode == 0
    if not here and subprocess.run(["docker", "pull", IMAGE], timeout=PULL_WAIT_S).returncode != 0:
        raise Problem(f"The image {IMAGE} could not be fetched; install rabbitmq-server or set AMQP_URI.")
    # In a file, because every user of the machine can read a command line.
    variables = runtime.path / "rabbitmq.env"
    user, password = credentials.user, credentials.password
    rabbitmq.write_private(variables, f"RABBITMQ_DEFAULT_USER={user}\nRABBITMQ_DEFAULT_PASS={password}\n")
    run = ["docker", "run", "--rm", "--name", container_name(runtime), "--env-file", f"{variables}"]
    run += ["-p", f"127.0.0.1:{port}:5672", IMAGE]
    return Program("rabbitmq", run, order=20, stop_wait=rabbitmq.STOP_WAIT_S)

"""``python -m launcher.shell``: Nameko's shell with config.yml, and a banner without the broker's password."""

from __future__ import annotations

import ast
import sys
import warnings

warnings.filterwarnings("ignore")  # eventlet's deprecation notice at import

from nameko.cli import shell  # noqa: E402
from nameko.cli.main import main  # noqa: E402


class QuietRunner(shell.ShellRunner):
    """Nameko's runner with our own banner."""

    def __init__(self, banner: str, local: dict[str, object]) -> None:
        banner = "n.rpc.<service>.<method>(...) calls a service: n.rpc.products.list()" if sys.stdin.isatty() else ""
        super().__init__(banner, local)

    def plain(self) -> None:
        """Run the plain shell; a script is read as a file, prints its bare expressions, and fails at its first
        error."""
        if sys.stdin.isatty():
            super().plain()
            return
        for statement in ast.parse(sys.stdin.read(), "<stdin>").body:
            exec(compile(ast.Interactive([statement]), "<stdin>", "single"), self.local)  # noqa: S102  it is a shell


shell.ShellRunner = QuietRunner  # type: ignore[misc]  # Nameko offers no other way in
sys.argv[1:1] = ["shell", "--config", "config.yml"]
main()

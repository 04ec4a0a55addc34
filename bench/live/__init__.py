"""What the real providers do otherwise than the sandbox, in their test modes.

`./install_run_project bench live [--providers NAMES] [--journey] [--report FILE] [--specs FOLDER]` takes the tours of
`bench conformance` at the real providers and at a sandbox, and reports where answers differ: members, types, values of
enums, statuses. `--journey` also buys once in a shop that uses them, and once in a shop on the sandbox.

The keys are the shop's own variables (`bench/live/keys.py`). Keys of live modes are refused. It is never part of CI.
"""

from bench.live.command import main

__all__ = ["main"]

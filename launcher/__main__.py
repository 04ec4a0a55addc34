"""``python -m launcher [command]``; `./install_run_project` is what calls it."""

import sys

from launcher.commands import main

sys.exit(main(sys.argv[1:]))

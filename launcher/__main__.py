"""``python -m launcher [command]``, as called by `./install_run_project`."""

import sys

from launcher.commands import main

sys.exit(main(sys.argv[1:]))

"""The command line: see :mod:`bench.run`, and :mod:`bench.sockets` for ``sockets``."""

from __future__ import annotations

import sys

from bench import run, sockets

if __name__ == "__main__":
    if sys.argv[1:2] == ["sockets"]:
        sys.exit(sockets.main(sys.argv[2:]))
    sys.exit(run.main())

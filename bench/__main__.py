"""The command line: see :mod:`bench.run`, and :mod:`bench.sockets` and
:mod:`bench.hop` for ``sockets`` and ``hop``."""

from __future__ import annotations

import sys

from bench import hop, run, sockets

if __name__ == "__main__":
    if sys.argv[1:2] == ["hop"]:
        sys.exit(hop.main(sys.argv[2:]))
    if sys.argv[1:2] == ["sockets"]:
        sys.exit(sockets.main(sys.argv[2:]))
    sys.exit(run.main())

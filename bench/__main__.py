"""The command line: one of :data:`COMMANDS`, or the workloads of :mod:`bench.run`."""

import sys

from bench import follow, hall, hop, run, sockets, spread, waiting

COMMANDS = {
    "follow": follow.main,
    "hall": hall.main,
    "hop": hop.main,
    "sockets": sockets.main,
    "spread": spread.main,
    "waiting": waiting.main,
}

if __name__ == "__main__":
    if command := COMMANDS.get("".join(sys.argv[1:2])):
        sys.exit(command(sys.argv[2:]))
    sys.exit(run.main())

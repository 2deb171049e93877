"""Count the source files that the examples of the how-tos touch.

Usage: python scripts/count_patch.py [PATCH...]

Without an argument, all of docs/how-to/patches. Tests and documents are listed and not counted.
Exit status 1 means that an example touches more files than its limit.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATCHES = ROOT / "docs" / "how-to" / "patches"
FILES_MAX = {"add-a-call": 4, "change-a-rule": 5}
SOURCE = ("booking/", "actors/", "http/", "clients/", "bench/", "scripts/")


def files_in(patch: Path) -> list[str]:
    """Every file that the patch changes or adds."""
    text = patch.read_text(encoding="utf-8")
    return re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)


def source_files_in(patch: Path) -> list[str]:
    """Those of them that are the program's own."""
    return [name for name in files_in(patch) if name.startswith(SOURCE)]


def main(arguments: list[str]) -> int:
    """Print the files of each patch."""
    kept = True
    for patch in map(Path, arguments) if arguments else sorted(PATCHES.glob("*.patch")):
        source, limit = source_files_in(patch), FILES_MAX.get(patch.stem, len(files_in(patch)))
        kept &= len(source) <= limit
        print(f"{patch.stem}: {len(source)} source files (limit {limit})")
        for name in files_in(patch):
            print(f"  {'*' if name in source else ' '} {name}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

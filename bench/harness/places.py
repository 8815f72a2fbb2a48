"""Where the source and the build are."""
from __future__ import annotations

import os
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent


class Refused(Exception):
    """What the user asked for can't be done; the text says why."""


def build_folder(given: Path | None) -> Path:
    """The one given, else $TIDE_BUILDDIR, else one that is found."""
    wanted = given or os.environ.get("TIDE_BUILDDIR")
    if wanted:
        return Path(wanted).resolve()
    for folder in (Path.cwd(), SOURCE / "build" / "bench", SOURCE / "build" / "plain", SOURCE):
        if (folder / "bench/harness/launch").exists():
            return folder.resolve()
    raise Refused("no build with bench/harness/launch was found: give --builddir, or run ./bootstrap bench")

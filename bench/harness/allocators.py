"""The table of allocators, and which of them are installed here.

To add an allocator, add a row to TABLE. To try one without a row, or one of the table with other
settings: bench --allocator NAME=LIBRARY[,VARIABLE=VALUE]...
"""
from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .machine import first_line
from .records import Allocator


@dataclass(frozen=True)
class Row:
    name: str
    library: str                # file name, which may hold *; "": the C library's own malloc
    package: str                # Debian's
    colour: str                 # in plots; told apart by colour-blind readers, too (Okabe and Ito)
    version_call: str = ""      # function without arguments that returns a string
    env: dict[str, str] = field(default_factory=dict)
    is_ours: bool = False       # taken from the build


TABLE = (
    Row("tidepool", "libtidepool.so", "tidepool", "#d55e00", "tide_version",
        {"TIDEPOOL_ARENA_LOCK": "arena", "TIDEPOOL_STATS": "1"}, is_ours=True),
    Row("tidepool-global", "libtidepool.so", "tidepool", "#e69f00", "tide_version",
        {"TIDEPOOL_ARENA_LOCK": "global", "TIDEPOOL_STATS": "1"}, is_ours=True),
    Row("glibc", "", "libc6", "#000000", "gnu_get_libc_version"),
    Row("jemalloc", "libjemalloc.so.2", "libjemalloc2", "#0072b2"),
    Row("mimalloc", "libmimalloc.so.2.*", "libmimalloc2.0", "#009e73"),
    Row("tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "#cc79a7"),
)
MORE_COLOURS = ("#56b4e9", "#8c6bb1", "#7f7f7f", "#a6761d")    # of --allocator NAME=...
DEFAULT_BASELINE = "glibc"
PYTHON = "/usr/bin/python3"
ASK_SECONDS = 60

# Run by python3 under the preload.
PRINT_VERSION = """
import ctypes, sys
call = getattr(ctypes.CDLL(None), sys.argv[1])
call.restype = ctypes.c_char_p
print(call().decode())
"""


class Unusable(Exception):
    """The text says why."""


def find_all(build: Path) -> tuple[list[Allocator], list[str]]:
    """The allocators of the table that are here, and a sentence for each that isn't."""
    found, missing = [], []
    for row in TABLE:
        try:
            found.append(_find(row, build))
        except Unusable as error:
            missing.append(f"{row.name}: {error}")
    return found, missing


def from_option(option: str, number: int, known: list[Allocator]) -> Allocator:
    """--allocator NAME=LIBRARY[,VARIABLE=VALUE]...; a library is a path or the name of a known allocator, whose own
    variables stay. The number chooses its colour."""
    name, _, text = option.partition("=")
    library, *settings = text.split(",") if not Path(text).is_file() else [text]
    base = {allocator.name: allocator for allocator in known}.get(library)
    if not re.fullmatch(r"[\w.+-]+", name) or not (base or Path(library).is_file()):
        raise Unusable(f"--allocator takes NAME=LIBRARY[,VARIABLE=VALUE]..., the library a path or one of "
                       f'{", ".join(allocator.name for allocator in known)}; not "{option}"')
    env = dict(_setting(setting, option) for setting in settings)
    colour = MORE_COLOURS[number % len(MORE_COLOURS)]
    if base:
        source = " ".join([base.source, *settings])
        made = dataclasses.replace(base, name=name, env=base.env | env, source=source, colour=colour)
    else:
        source = " ".join(["--allocator", *settings])
        made = _examined(Allocator(name, str(Path(library).resolve()), env, "", source, colour), "")
    refusal = re.search(r"^tidepool: (setting .*)", _ask(["/bin/true"], made).stderr, re.MULTILINE)
    if refusal:
        raise Unusable(f'--allocator "{option}": {refusal[1]}')
    return made


def _setting(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise Unusable(f'--allocator "{option}": "{text}" isn\'t VARIABLE=VALUE')
    return name, value


def _find(row: Row, build: Path) -> Allocator:
    path = ""
    if row.is_ours:
        path = str(build / ".libs" / row.library)
        if not Path(path).is_file():
            raise Unusable(f"{path} is missing: run make there")
    elif row.library:
        path = _installed(row.library)
        if not path:
            raise Unusable(f"not installed (Debian package {row.package})")
    source = "this build" if row.is_ours else row.package
    return _examined(Allocator(row.name, path, row.env, "", source, row.colour, row.is_ours), row.version_call)


def _installed(pattern: str) -> str:
    """Path of a library of the system by its file name; empty if there is none."""
    multiarch = first_line(["dpkg-architecture", "-qDEB_HOST_MULTIARCH"]) or f"{os.uname().machine}-linux-gnu"
    for folder in (f"/usr/lib/{multiarch}", "/usr/lib64", "/usr/lib", "/usr/local/lib"):
        files = sorted(Path(folder).glob(pattern), key=lambda file: len(file.name))
        if files:
            return str(files[0])
    return ""


def _examined(allocator: Allocator, version_call: str) -> Allocator:
    """With its version. One that crashes here is kept: its runs will say so."""
    provider = _provider_of_malloc(allocator)
    if allocator.path and Path(provider).name.startswith("libc.so"):
        raise Unusable(f"{allocator.path} doesn't define malloc: glibc's would be measured")
    own = _ask([PYTHON, "-c", PRINT_VERSION, version_call], allocator).stdout.strip() if version_call else ""
    package = _package_version(allocator.path or provider)
    parts = [part for part in (own, package) if part] or [_digest(allocator.path)]
    return dataclasses.replace(allocator, version=", ".join(parts))


def _provider_of_malloc(allocator: Allocator) -> str:
    """The file that a program's calls of malloc are bound to; empty if the program doesn't get that far."""
    said = _ask(["/bin/true"], allocator, LD_DEBUG="bindings", LD_BIND_NOW="1").stderr
    found = re.search(r"libc\.so\S* \[0\] to (\S+) \[0\]: normal symbol `malloc'", said)
    return found.group(1) if found else ""


def _ask(command: list[str], allocator: Allocator, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **allocator.env, **more}
    env.pop("TIDEPOOL_STATS", None)
    env.pop("LD_PRELOAD", None)
    if allocator.path:
        env["LD_PRELOAD"] = allocator.path
    try:
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=ASK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "")


def _package_version(path: str) -> str:
    """libjemalloc2 5.3.0-1; empty if the file belongs to no package."""
    real = os.path.realpath(path)
    for name in dict.fromkeys((path, real, path.removeprefix("/usr"), real.removeprefix("/usr"))):
        owner = first_line(["dpkg-query", "-S", name])
        if owner:
            package = owner.split(": ")[0]
            version = first_line(["dpkg-query", "-W", "-f=${Version}", package])
            return f"{package.split(':')[0]} {version}"
    return ""


def _digest(path: str) -> str:
    return "version unknown, SHA-256 " + hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]

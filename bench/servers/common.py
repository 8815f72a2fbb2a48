"""What the runners of bench/servers/ share: one server or program under one malloc, measured.

A runner is a script with a list of workloads; main() gives it the two commands of every workload:
    RUNNER list
    RUNNER run NAME [--preload LIB] [--env NAME=VALUE]... [--threads N] [--scale PERCENT]
and prints one JSON object on one line (see bench/README.md). A missing tool gives {"skipped": ...} with the Debian
package. A wrong answer, a crash or a server that doesn't answer ends the runner with status 1 and a message.

Which malloc is measured is checked, not assumed: the dynamic linker is asked (LD_DEBUG=bindings) where the program's
calls of malloc and free go, with the same LD_PRELOAD. Without a preload glibc's malloc is measured; a program that is
linked with another malloc (Debian's redis-server is, with libjemalloc) gets libc.so.6 itself preloaded for that.

Servers listen on 127.0.0.1 or on a socket in their own temporary folder, stay in the runner's process group (whoever
ends the group ends them) and are stopped however the runner ends. Load clients never run under the tested malloc.
Memory of one process is VmRSS and VmHWM; of several it is the sum of Pss (proportional: a shared page counts once),
whose peak is sampled. Runs with Debian's python3 and its standard library.
"""
from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

FOLDER = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
TOOL_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
START_SECONDS = 60
STOP_SECONDS = 60
CLIENT_SECONDS = 300        # a load client that takes longer hangs
PR_SET_PDEATHSIG = 1        # <sys/prctl.h>

Result = dict[str, Any]


class Skipped(Exception):
    """The workload can't run on this machine; the text says what is missing."""


class Failed(Exception):
    """A wrong answer, a crash, or no answer."""


@dataclass(frozen=True)
class Setup:
    """What to run, and under which malloc."""
    workload: str
    preload: str            # path of a library; "": glibc's malloc
    env: dict[str, str]     # for the measured program only
    scale: float            # 1.0: the default amount of work
    threads: int

    def amount(self, at_full_scale: int, least: int = 1) -> int:
        return max(least, round(at_full_scale * self.scale))


@dataclass(frozen=True)
class Workload:
    name: str
    group: str              # "server" or "program"
    threads: list[int]
    unit: str               # of an operation
    about: str
    run: Callable[[Setup], Result]
    quick: bool = True

    def describe(self) -> Result:
        return {"workload": self.name, "group": self.group, "threads": self.threads, "quick": self.quick,
                "about": self.about, "unit": self.unit}


# ---- tools, and the malloc that they really use ---------------------------------------------------

def tool(name: str, package: str) -> str:
    path = shutil.which(name, path=TOOL_PATH)
    if path is None:
        raise Skipped(f"{name} is missing (Debian package {package})")
    return path


def built(path: str) -> str:
    """A program of the build by its path there, such as bench/workloads/lone: of $TIDE_BUILDDIR (set by make check), of
    the build that has $TIDE_LAUNCH, of the current folder, or of the source tree if that was built in."""
    folders = [Path.cwd(), FOLDER.parent.parent]
    if "TIDE_LAUNCH" in os.environ:
        folders.insert(0, Path(os.environ["TIDE_LAUNCH"]).resolve().parents[2])
    if "TIDE_BUILDDIR" in os.environ:
        folders.insert(0, Path(os.environ["TIDE_BUILDDIR"]))
    for folder in folders:
        if os.access(folder / path, os.X_OK):
            return str((folder / path).absolute())
    raise Skipped(f"{Path(path).name} isn't built (make {path}, and set TIDE_BUILDDIR)")


def environment(preload: str, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a measured program."""
    env = {**os.environ, "LC_ALL": "C", **extra}
    if preload:
        env["LD_PRELOAD"] = preload
    return env


def bindings(command: list[str], preload: str) -> str:
    """What the dynamic linker binds to what, in a harmless run of a program such as [PROGRAM, "--version"]."""
    with tempfile.TemporaryDirectory(prefix="tidebench.") as folder:
        env = environment(preload, {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1", "LD_DEBUG_OUTPUT": f"{folder}/ld"})
        done = subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=START_SECONDS)
        if done.returncode:
            raise Failed(f"{' '.join(command)} under {preload or 'no preload'}: {ended(done.returncode)}: "
                         + done.stderr.decode(errors="replace")[-400:])
        return "".join(file.read_text(errors="replace") for file in Path(folder).glob("ld.*"))


def bound_to(text: str, program: str, symbol: str) -> set[str]:
    """The files that serve a symbol to a program. The program itself isn't one: a fixed-address program that takes a
    function's address binds that to its own jump to the function."""
    found = re.findall(rf"binding file {re.escape(program)} \[0\] to (\S+) \[0\]: normal symbol `{symbol}'", text)
    return {os.path.realpath(file) for file in found} - {os.path.realpath(program)}


def effective_preload(command: list[str], preload: str) -> str:
    """The LD_PRELOAD with which the program uses the malloc that was asked for; command is a harmless run of it."""
    wanted = os.path.realpath(preload) if preload else ""
    if preload and not os.path.exists(preload):
        raise Failed(f"there is no {preload}")
    for try_libc in (False, True):
        # With libc.so.6 in front: glibc was asked for, and the program is linked with another malloc.
        attempt = wanted if try_libc else preload
        text = bindings(command, attempt)
        used = bound_to(text, command[0], "malloc") | bound_to(text, command[0], "free")
        if not wanted:
            libc = re.search(r"to (\S*/libc\.so\.6) \[0\]", text)
            wanted = os.path.realpath(libc[1]) if libc else ""
        if used == {wanted}:
            return attempt
    raise Failed(f"{command[0]} takes malloc and free from {', '.join(sorted(used)) or 'nowhere'}, not from "
                 f"{wanted or 'libc.so.6'}")


def ended(status: int) -> str:
    return f"signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"exit {status}"


# ---- memory of processes --------------------------------------------------------------------------

def status_bytes(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise Failed(f"/proc/{pid}/status has no {name}: the process has ended")
    return int(found[1]) * 1024


def rollup_bytes(pid: int, name: str) -> int:
    """Rss or Pss, counted at this moment: VmRSS lags behind by a few pages. 0 of a process that is about to end."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def pss_bytes(pid: int) -> int:
    return rollup_bytes(pid, "Pss")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processor_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


class PssSampler(threading.Thread):
    """Keeps the highest sum of Pss of a process and its children."""
    EVERY_SECONDS = 0.05

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.is_over = threading.Event()

    def sample(self) -> int:
        total = 0
        for pid in [self.pid, *children(self.pid)]:
            try:
                total += pss_bytes(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue        # a child that ended just now
        self.peak = max(self.peak, total)
        return total

    def run(self) -> None:
        while not self.is_over.wait(self.EVERY_SECONDS):
            try:
                self.sample()
            except (FileNotFoundError, ProcessLookupError):
                return          # the server has ended; its user notices

    def stop(self) -> None:
        self.is_over.set()
        if self.is_alive():
            self.join()


# ---- servers --------------------------------------------------------------------------------------

def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def temporary_folder() -> str:
    """A folder whose name is short enough for a socket in it."""
    base = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="tb.", dir=base if len(base) < 60 else "/tmp")


def end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """A server under the tested malloc, from `with` to its end. Its folder is self.folder."""

    def __init__(self, setup: Setup, harmless: list[str], multi_process: bool = False) -> None:
        self.preload = effective_preload(harmless, setup.preload)
        self.env = environment(self.preload, setup.env)
        self.folder = Path(temporary_folder())
        self.multi_process = multi_process
        self.process: subprocess.Popen[bytes] | None = None
        self.sampler: PssSampler | None = None
        self.most_seen = 0  # bytes resident

    def __enter__(self) -> Server:
        return self

    def start(self, command: list[str], answers: Callable[[], bool]) -> None:
        """Starts it and waits until it answers; answers() raises OSError or says no as long as it doesn't."""
        with open(self.folder / "log", "wb") as log, open(self.folder / "errors", "wb") as errors:
            self.process = subprocess.Popen(command, env=self.env, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=errors, preexec_fn=end_with_parent)
        give_up = time.monotonic() + START_SECONDS
        while not self.is_up(answers):
            if self.process.poll() is not None:
                raise Failed(f"{command[0]} doesn't start: {ended(self.process.returncode)}: {self.log()}")
            if time.monotonic() > give_up:
                raise Failed(f"{command[0]} doesn't answer within {START_SECONDS} s: {self.log()}")
            time.sleep(0.02)
        for pid in [self.process.pid, *(children(self.process.pid) if self.multi_process else [])]:
            maps = Path(f"/proc/{pid}/maps").read_text()
            if self.preload and os.path.realpath(self.preload) not in maps:
                raise Failed(f"{command[0]} runs without {self.preload}")
        if self.multi_process:
            self.sampler = PssSampler(self.process.pid)
            self.sampler.start()

    def is_up(self, answers: Callable[[], bool]) -> bool:
        try:
            return self.pid_is_alive() and answers()
        except OSError:
            return False

    def pid_is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def check_alive(self) -> None:
        if self.process is None or self.process.poll() is not None:
            status = "never started" if self.process is None else ended(self.process.returncode)
            raise Failed(f"the server has ended: {status}: {self.log()}")

    def log(self) -> str:
        texts = [(self.folder / name).read_text(errors="replace")[-400:].strip() for name in ("log", "errors")]
        return "\n".join(filter(None, texts)) or "it printed nothing"

    @property
    def pid(self) -> int:
        self.check_alive()
        assert self.process is not None
        return self.process.pid

    def resident(self) -> int:
        if self.sampler:
            return self.sampler.sample()
        now = status_bytes(self.pid, "VmRSS")
        self.most_seen = max(self.most_seen, now)
        return now

    def peak(self) -> int:
        """The kernel brings VmHWM up to date only now and then, so it may be less than what was resident."""
        return self.sampler.peak if self.sampler else max(status_bytes(self.pid, "VmHWM"), self.most_seen)

    def processor_seconds(self) -> float:
        return sum(processor_seconds(pid) for pid in [self.pid, *children(self.pid)])

    def client(self, command: list[str], timeout: float = CLIENT_SECONDS) -> str:
        """Runs a load client to its end, without the tested malloc, and gives what it printed."""
        try:
            done = subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
                                  cwd=self.folder, capture_output=True, timeout=timeout, text=True, errors="replace")
        except subprocess.TimeoutExpired as error:
            self.check_alive()
            raise Failed(f"{command[0]} didn't end within {timeout:.0f} s") from error
        self.check_alive()
        if done.returncode:
            raise Failed(f"{command[0]}: {ended(done.returncode)}: {done.stderr[-400:]} {done.stdout[-400:]}")
        return done.stdout

    def stop(self) -> None:
        """Ends it in the usual way; one that crashes then, or doesn't end, has failed."""
        self.check_alive()
        assert self.process is not None
        if self.sampler:
            self.sampler.stop()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"the server doesn't end within {STOP_SECONDS} s of SIGTERM: {self.log()}") from error
        if status not in (0, -signal.SIGTERM):
            raise Failed(f"the server ended badly: {ended(status)}: {self.log()}")
        # such as a malloc's statistics, printed at the end
        sys.stderr.write((self.folder / "errors").read_text(errors="replace"))

    def __exit__(self, *_: object) -> None:
        if self.sampler:
            self.sampler.stop()
        if self.process is not None and self.process.poll() is None:
            workers = children(self.process.pid)
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                for pid in [self.process.pid, *workers]:
                    kill(pid)
                self.process.wait()
        shutil.rmtree(self.folder)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return      # it has ended meanwhile


# ---- programs -------------------------------------------------------------------------------------

@dataclass
class Ran:
    """A program that ended well."""
    output: str
    errors: str
    wall_seconds: float
    peak_bytes: int | None      # None: not known, see run_directly()
    metrics: dict[str, float] = field(default_factory=dict)


def run_program(setup: Setup, harmless: list[str], command: list[str], env: dict[str, str] | None = None,
                folder: str | None = None) -> Ran:
    """Runs a program to its end under the tested malloc: through $TIDE_LAUNCH, the harness's launcher, if that is set."""
    preload = effective_preload(harmless, setup.preload)
    extra = {**(env or {}), **setup.env}
    launcher = os.environ.get("TIDE_LAUNCH", "")
    if launcher:
        ran = run_launched(launcher, preload, extra, command, folder)
    else:
        ran = run_directly(preload, extra, command, folder)
    sys.stderr.write(ran.errors)
    return ran


def run_launched(launcher: str, preload: str, extra: dict[str, str], command: list[str], folder: str | None) -> Ran:
    with tempfile.TemporaryDirectory(prefix="tidebench.") as own:
        result = Path(own) / "result"
        settings = [word for name, value in {"LC_ALL": "C", **extra}.items()
                    for word in ("--env", f"{name}={value}")]
        done = subprocess.run([launcher, *(["--preload", preload] if preload else []), *settings,
                               "--timeout", str(CLIENT_SECONDS), "--result", str(result), "--", *command],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", cwd=folder)
        if not result.exists():
            raise Failed(f"{launcher}: {ended(done.returncode)}: {done.stderr[-400:]}")
        told = json.loads(result.read_text())
    if told["status"] != "ok":
        raise Failed(f"{command[0]}: {told['status']}: {done.stderr[-400:]}")
    names = ("user_seconds", "system_seconds", "voluntary_switches", "minor_faults")
    return Ran(done.stdout, done.stderr, told["wall_seconds"], told["peak_bytes"], {name: told[name] for name in names})


def run_directly(preload: str, extra: dict[str, str], command: list[str], folder: str | None) -> Ran:
    """For runs by hand. A child inherits the peak of its parent, this runner, so a peak that small isn't known."""
    with tempfile.TemporaryFile("w+", errors="replace") as output, \
            tempfile.TemporaryFile("w+", errors="replace") as errors:
        started = time.monotonic()
        process = subprocess.Popen(command, env=environment(preload, extra), stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=errors, cwd=folder, preexec_fn=end_with_parent)
        guard = threading.Timer(CLIENT_SECONDS, process.kill)
        guard.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            guard.cancel()
            if process.returncode is None:
                process.kill()
                process.wait()
        wall_seconds = time.monotonic() - started
        output.seek(0)
        errors.seek(0)
        printed, complaints = output.read(), errors.read()
        if process.returncode:
            raise Failed(f"{command[0]}: {ended(process.returncode)}: {complaints[-400:]}")
        peak = usage.ru_maxrss * 1024
        is_known = peak > status_bytes(os.getpid(), "VmHWM")
        return Ran(printed, complaints, wall_seconds, peak if is_known else None,
                   {"user_seconds": usage.ru_utime, "system_seconds": usage.ru_stime,
                    "voluntary_switches": usage.ru_nvcsw, "minor_faults": usage.ru_minflt})


def run_reporting(setup: Setup, harmless: list[str], command: list[str], env: dict[str, str] | None = None) -> Result:
    """Runs a program that prints {"operations", "seconds", ...} as its last line, and adds its peak."""
    ran = run_program(setup, harmless, command, env)
    try:
        told = json.loads(ran.output.strip().rpartition("\n")[2])
    except json.JSONDecodeError as error:
        raise Failed(f"{command[0]} printed no result: {ran.output[-200:]!r}") from error
    if ran.peak_bytes is not None and "peak_bytes" not in told:
        # the kernel's count of resident pages is kept per processor and lags behind by a few
        told["peak_bytes"] = max(ran.peak_bytes, told.get("final_bytes", 0))
    told["metrics"] = {**ran.metrics, **told.get("metrics", {})}
    return told


# ---- command line ---------------------------------------------------------------------------------

def end_on_signal(number: int, _: object) -> None:
    """The usual way out of every `with`, so that the server is stopped."""
    raise SystemExit(128 + number)


def arguments(workloads: list[Workload]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Runs a server or program under a malloc and measures it.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print the workloads as JSON")
    run = commands.add_parser("run", help="run one and print its result as JSON")
    run.add_argument("name", choices=[workload.name for workload in workloads])
    run.add_argument("--preload", default="", metavar="LIB", help="the malloc to measure; without it glibc's")
    run.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the measured program only")
    run.add_argument("--threads", type=int, default=0, metavar="N")
    run.add_argument("--scale", type=float, default=100, metavar="PERCENT", help="amount of work [100]")
    given = parser.parse_args()
    if given.command == "run":
        if given.scale <= 0 or given.threads < 0:
            parser.error("--scale and --threads are positive")
        if any("=" not in setting for setting in given.env):
            parser.error("--env takes NAME=VALUE")
    return given


def main(workloads: list[Workload]) -> int:
    os.environ.pop("LD_PRELOAD", None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end_on_signal)
    given = arguments(workloads)
    if given.command == "list":
        print(json.dumps([workload.describe() for workload in workloads]))
        return 0
    workload = next(each for each in workloads if each.name == given.name)
    setup = Setup(given.name, os.path.abspath(given.preload) if given.preload else "",
                  dict(setting.split("=", 1) for setting in given.env), given.scale / 100,
                  given.threads or workload.threads[0])
    head: Result = {"workload": given.name, "threads": setup.threads}
    try:
        print(json.dumps(head | workload.run(setup)))
    except Skipped as reason:
        print(json.dumps(head | {"skipped": str(reason)}))
    except Failed as error:
        print(f"{given.name}: {error}", file=sys.stderr)
        return 1
    return 0

"""What the machine is, and how much CPU time others used on it during a run.

CPU time of others is what /proc/stat counts on the CPUs that this process may use, minus the run's own.
/proc/stat counts in ticks of 10 ms, so a short run's figure is coarse: fewer than LEAST_OTHER_SECONDS
are never flagged.
"""
from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FLAG_SHARE = 0.05
LEAST_OTHER_SECONDS = 0.04
ASK_SECONDS = 20
TOOL_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])     # servers are there
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuTime:
    busy: float         # seconds, all processes, without stolen ones
    stolen: float


def cpu_time() -> CpuTime:
    """Since the machine's start, on the CPUs that this process may use."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = stolen = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *rest = line.split()
        if name in usable:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, rest[:8])
            busy += user + nice + system + irq + softirq
            stolen += steal
    return CpuTime(busy / TICKS_PER_SECOND, stolen / TICKS_PER_SECOND)


def share_of_others(before: CpuTime, after: CpuTime, own: float, elapsed: float) -> tuple[float, float]:
    """CPU time of other processes, and time stolen by the hypervisor, each as a share of all CPU time
    there was. `own` is the run's CPU time, `elapsed` its wall time, in seconds."""
    whole = elapsed * len(os.sched_getaffinity(0))
    others = max(0.0, after.busy - before.busy - own)
    stolen = max(0.0, after.stolen - before.stolen)
    return _coarse(others, whole), _coarse(stolen, whole)


def _coarse(seconds: float, whole: float) -> float:
    return seconds / whole if whole > 0 and seconds >= LEAST_OTHER_SECONDS else 0.0


def describe() -> dict[str, object]:
    """The machine, for results.json and the report."""
    cpuinfo = _read("/proc/cpuinfo")
    return {
        "cpu": _field(cpuinfo, "model name") or platform.machine(),
        "architecture": platform.machine(),
        "cpus_online": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)),
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "page_bytes": os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "system": _field(_read("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        "transparent_huge_pages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
        "overcommit": _read("/proc/sys/vm/overcommit_memory").strip(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or "none is visible",
        "virtualised": _virtualised(cpuinfo),
        "load_at_start": os.getloadavg()[0],
    }


def versions_of_tools(tools: dict[str, list[str]]) -> dict[str, str]:
    """First line that each command prints, wherever and with whatever status: nginx -v writes to stderr, wrk -v exits
    with 1. What is missing or says nothing says so."""
    return {name: _version(command) for name, command in tools.items()}


def _version(command: list[str]) -> str:
    program = shutil.which(command[0], path=TOOL_PATH)
    if program is None:
        return "missing"
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {error}"
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines[0] if lines else f"unknown: {' '.join(command)} says nothing"


def describe_build(build: Path) -> dict[str, str]:
    """The compiler and configure's arguments that tidepool was built with, as config.status of the build has them."""
    status = build / "config.status"
    kept = dict(re.findall(r'^S\["(CC|CFLAGS)"\]="(.*)"$', _read(str(status)), re.MULTILINE))
    if "CC" not in kept:
        return {"tidepool's build": f"unknown: {status} doesn't tell"}
    return {"tidepool's compiler": f"{kept['CC']}: {_version([*shlex.split(kept['CC']), '--version'])}",
            "tidepool's CFLAGS": kept.get("CFLAGS", ""),
            "tidepool's configure": first_line([str(status), "--config"]) or "without arguments"}


def first_line(command: list[str]) -> str:
    """Empty if the command is missing, fails or prints nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return lines[0].strip() if lines else ""


def _virtualised(cpuinfo: str) -> str:
    """What a hypervisor or a container says of itself, "no" if none shows."""
    kind = first_line(["systemd-detect-virt", "--vm"])
    if kind and kind != "none":
        return f"yes ({kind})"
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE):
        product = _read("/sys/class/dmi/id/sys_vendor").strip()
        return f"yes ({product})" if product else "yes"
    return "no hypervisor shows"


def _chosen(text: str) -> str:
    """always [madvise] never -> madvise"""
    found = re.search(r"\[(\w+)\]", text)
    return found.group(1) if found else "unknown"


def _field(text: str, name: str, separator: str = ":") -> str:
    found = re.search(rf"^{re.escape(name)}\s*{separator}\s*(.*)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def _read(name: str) -> str:
    """Empty if the file isn't there or may not be read: not every kernel has all of them."""
    try:
        return Path(name).read_text()
    except OSError:
        return ""

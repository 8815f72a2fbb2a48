#!/usr/bin/python3
"""What a preloaded malloc costs a small program: /bin/true started many times, and a python3 that ends at once.

The time is of start to end, one after the other. For the memory /bin/cat, a program as small, prints its own
/proc/self/status, since a program that has ended can't be asked and wait4's peak includes that of who started it. python3
does the same for itself.
"""
import sys
sys.dont_write_bytecode = True

import os
import subprocess
import time

from common import PYTHON, Failed, Result, Setup, Workload, effective_preload, ended, environment, main, tool

STATUS = "/proc/self/status"
PRINT_STATUS = f"print(open({STATUS!r}).read())"


def start_many(command: list[str], env: dict[str, str], times: int) -> float:
    """Seconds for all of them."""
    started = time.perf_counter()
    for _ in range(times):
        process = os.posix_spawn(command[0], command, env)
        _, status = os.waitpid(process, 0)
        if status:
            raise Failed(f"{command[0]}: {ended(os.waitstatus_to_exitcode(status))}")
    return time.perf_counter() - started


def memory(command: list[str], env: dict[str, str]) -> dict[str, int]:
    """VmHWM and VmRSS in bytes as the program itself reads them."""
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{command[0]}: {ended(done.returncode)}: {done.stderr[-400:]}")
    fields = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmHWM", "VmRSS")}


def measure(setup: Setup, command: list[str], teller: list[str], times: int) -> Result:
    env = environment(effective_preload(command, setup.preload), setup.env)
    env.pop("TIDEPOOL_STATS", None)     # printing them would be measured
    start_many(command, env, 3)
    seconds = start_many(command, env, times)
    told = memory(teller, env)
    return {"operations": times, "seconds": seconds, "peak_bytes": told["VmHWM"], "final_bytes": told["VmRSS"],
            "metrics": {}}


def run_true(setup: Setup) -> Result:
    return measure(setup, [tool("true", "coreutils")], [tool("cat", "coreutils"), STATUS], setup.amount(400, least=20))


def run_python(setup: Setup) -> Result:
    python = tool(PYTHON, "python3")
    options = [python, "-I", "-S", "-c"]
    return measure(setup, [*options, "pass"], [*options, PRINT_STATUS], setup.amount(40, least=3))


if __name__ == "__main__":
    sys.exit(main([
        Workload("start-true", "micro", [1], "start", "/bin/true started, and waited for", run_true, quick=False),
        Workload("start-python", "micro", [1], "start", "python3 started, which ends at once", run_python, quick=False)]))

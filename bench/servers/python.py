#!/usr/bin/python3
"""python3 with PYTHONMALLOC=malloc, so that every object comes from the tested malloc: json, dict churn and strings.

python-threads: several threads of one process; half of what a thread makes is used and dropped by another one.
python-processes: several processes forked from one, as servers do; the memory is the sum of Pss of all.
The work is work_python.py: a fixed number of pieces, whose results are compared with known ones.
"""
import sys
sys.dont_write_bytecode = True

from common import FOLDER, PYTHON, Result, Setup, Workload, main, run_reporting, tool

PIECES = 120
ENVIRONMENT = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def run(setup: Setup) -> Result:
    program = tool(PYTHON, "python3")
    mode = setup.workload.partition("-")[2]
    return run_reporting(setup, [program, "-I", "-c", ""],
                         [program, str(FOLDER / "work_python.py"), mode, str(setup.threads),
                          str(setup.amount(PIECES, least=2 * setup.threads))], ENVIRONMENT)


if __name__ == "__main__":
    sys.exit(main([
        Workload("python-threads", "program", [4], "piece",
                 "python3 without its own allocator: json, dicts and strings on several threads, passed between them", run,
                 quick=False),
        Workload("python-processes", "program", [2], "piece",
                 "python3 without its own allocator: the same work in several forked processes", run, quick=False)]))

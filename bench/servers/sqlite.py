#!/usr/bin/python3
"""sqlite3 with many connections on several threads: tables in memory, inserts, indexes, joins, groups, deletes.

The work is work_sqlite.py, in python3 with its sqlite3 module (Debian's libsqlite3-0, which takes its pages and statements
from malloc). Python's own small objects stay with python's allocator: sqlite is what is measured. The module
lets other threads run while a statement runs. Every connection's results are compared with known ones.
"""
import sys
sys.dont_write_bytecode = True

from common import FOLDER, PYTHON, Result, Setup, Workload, main, run_reporting, tool

JOBS = 48


def run(setup: Setup) -> Result:
    program = tool(PYTHON, "python3")
    return run_reporting(setup, [program, "-I", "-c", ""],
                         [program, str(FOLDER / "work_sqlite.py"), str(setup.threads), str(setup.amount(JOBS, setup.threads))],
                         {"PYTHONDONTWRITEBYTECODE": "1"})


if __name__ == "__main__":
    sys.exit(main([Workload("sqlite", "program", [4], "job",
                            "sqlite3 with many connections on several threads, tables in memory", run,
                            quick=False)]))

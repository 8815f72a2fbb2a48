#!/usr/bin/python3
"""perl with hashes, regular expressions, strings and sorting; Debian's perl takes everything from malloc.

The work is work_perl.pl: a fixed number of rounds, whose digest is compared with a known one.
"""
import sys
sys.dont_write_bytecode = True

from common import FOLDER, Result, Setup, Workload, main, run_reporting, tool

ROUNDS = 20


def run(setup: Setup) -> Result:
    program = tool("perl", "perl")
    return run_reporting(setup, [program, "-e", "1"], [program, str(FOLDER / "work_perl.pl"), str(setup.amount(ROUNDS))],
                         {"PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0"})


if __name__ == "__main__":
    sys.exit(main([Workload("perl", "program", [1], "round", "perl: hashes, regular expressions, strings, sorting", run,
                            quick=False)]))

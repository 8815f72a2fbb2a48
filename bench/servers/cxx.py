#!/usr/bin/python3
"""gcc and clang compiling a large, generated C++ file full of the standard library's templates, at -O1.

The compiler proper is measured (cc1plus, or clang -cc1): the driver is asked for its command with -###, and that is run, so
that neither the driver nor the assembler hides its memory. Afterwards, not measured, the assembly is linked and run: it has
to print what this script computed. An operation is one generated class.
"""
import sys
sys.dont_write_bytecode = True

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from common import Failed, Result, Setup, Workload, ended, main, run_program, tool

CLASSES = {"gcc": 6, "clang": 6}     # in the file, at scale 100
MODULUS = 1_000_003
HEAD = """
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>
"""
CLASS = """
struct item_@ { int key; std::string name; std::vector<long> values; };
template <typename T> struct box_@ {
    std::unordered_map<std::string, std::shared_ptr<T>> by_name;
    std::map<int, std::vector<std::weak_ptr<T>>> by_key;
    void add(T item) {
        auto shared = std::make_shared<T>(std::move(item));
        by_name[shared->name] = shared;
        by_key[shared->key % 7].push_back(shared);
    }
    template <typename F> long sum(F f) const {
        long total = 0;
        for (auto const &[key, items] : by_key)
            for (auto const &weak : items)
                if (auto item = weak.lock())
                    total += f(*item) * (key + 1);
        return total;
    }
};
long work_@(long start) {
    box_@<item_@> box;
    for (int i = 0; i < 20; i++) {
        std::ostringstream name;
        name << "item " << i << " of @";
        std::vector<long> values(i + 3);
        std::iota(values.begin(), values.end(), start % 100 + i);
        std::sort(values.begin(), values.end(), [](long a, long b) { return (a * 7 + @) % 31 < (b * 7 + @) % 31; });
        box.add(item_@{i, name.str(), values});
    }
    std::set<std::string> names;
    for (auto const &pair : box.by_name)
        names.insert(pair.first.substr(0, 6));
    std::function<long(item_@ const &)> score = [&](item_@ const &item) {
        return std::accumulate(item.values.begin(), item.values.end(), long(item.key)) + long(names.size());
    };
    return (start + box.sum(score) + @) % MODULUS;
}
"""


def source(classes: int) -> str:
    parts = [CLASS.replace("@", str(number)).replace("MODULUS", str(MODULUS)) for number in range(classes)]
    calls = "".join(f"    total = work_{number}(total);\n" for number in range(classes))
    return f"{HEAD}{''.join(parts)}\nint main() {{\n    long total = 1;\n{calls}    std::printf(\"%ld\\n\", total);\n}}\n"


def expected(classes: int) -> int:
    """What the program has to print."""
    total = 1
    distinct_names = len({f"item {number} of"[:6] for number in range(20)})
    for number in range(classes):
        first = total % 100
        boxes = sum((sum(range(first + i, first + i + i + 3)) + i + distinct_names) * (i % 7 + 1) for i in range(20))
        total = (total + boxes + number) % MODULUS
    return total


def compiler_command(driver: str, words: list[str]) -> list[str]:
    """The compiler proper and its arguments, as the driver would run it."""
    done = subprocess.run([driver, "-###", *words], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "cc1plus " in line or '"-cc1"' in line]
    if done.returncode or len(lines) != 1:
        raise Failed(f"{driver} -### tells no single compiler command: {done.stderr[-400:]}")
    return shlex.split(lines[0])


def check_program(driver: str, assembly: Path, classes: int) -> None:
    program = assembly.with_suffix("")
    linked = subprocess.run([driver, "-o", str(program), str(assembly)], capture_output=True, text=True)
    if linked.returncode:
        raise Failed(f"the compiler's output cannot be linked: {linked.stderr[-400:]}")
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=20)
    if done.returncode or done.stdout != f"{expected(classes)}\n":
        raise Failed(f"the compiled program gives {ended(done.returncode)} and {done.stdout!r}, not {expected(classes)}")


def run(setup: Setup) -> Result:
    driver = tool("g++", "g++") if setup.workload == "gcc" else tool("clang++", "clang")
    classes = setup.amount(CLASSES[setup.workload])
    with tempfile.TemporaryDirectory(prefix="tidebench.") as folder:
        file, assembly = Path(folder) / "large.cc", Path(folder) / "large.s"
        file.write_text(source(classes))
        command = compiler_command(driver, ["-std=c++17", "-O1", "-S", "-o", str(assembly), str(file)])
        harmless = [command[0], *(["-cc1"] if "-cc1" in command else []), "-version"]
        ran = run_program(setup, harmless, command, folder=folder)
        check_program(driver, assembly, classes)
    result: Result = {"operations": classes, "seconds": ran.wall_seconds, "metrics": ran.metrics}
    return result if ran.peak_bytes is None else result | {"peak_bytes": ran.peak_bytes}


if __name__ == "__main__":
    sys.exit(main([
        Workload("gcc", "program", [1], "class", "g++'s compiler proper on a large C++ file, -O1", run),
        Workload("clang", "program", [1], "class", "clang++'s compiler proper on the same file, -O1", run, quick=False)]))

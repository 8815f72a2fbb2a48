#!/usr/bin/env python3
"""Who uses whom in src/: modules (NAME.c with NAME.h), by includes and by objects' symbols.

usage: dependencies.py SOURCE_DIR BUILD_DIR NM     checks the tree
       dependencies.py --self-test CC NM           checks that it finds what is wrong

A room is a folder; it uses itself and the rooms before it.  Modules form no circle.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOMS = ("base os machine store arena pool large exchange heap upkeep observe check api").split()
ALONE = "object runtime cli".split()  # stand on the public headers alone

# Circles that are still there; one that is gone is to be taken out here.
KNOWN = []


def sources(folder):
    for path, _, names in os.walk(folder):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(path, name), folder)


def module_of(name):
    return os.path.splitext(name)[0]


def room_of(name):
    return name.split("/")[0]


def read_includes(src, wrong):
    """Pairs of modules; what is written wrongly goes to wrong."""
    rooms = ROOMS + ALONE
    for name in sources(src):
        if room_of(name) not in rooms:
            wrong.append(f"src/{name}: no rule for the folder {room_of(name)}")
        with open(os.path.join(src, name), encoding="utf-8") as file:
            text = file.read()
        for quote, used in re.findall(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', text, re.M):
            if used.endswith(".c"):
                wrong.append(f"src/{name}: a source is included: {used}")
            elif room_of(used) in rooms and "/" in used:
                if room_of(name) in ALONE or room_of(used) in ALONE:
                    wrong.append(f"src/{name}: may not include {used}")
                yield module_of(name), module_of(used), "includes " + used
            elif quote == '"' and "/" not in used:
                if used != "config.h":
                    wrong.append(f'src/{name}: write the folder of "{used}"')
            elif quote == '"':
                wrong.append(f'src/{name}: not a folder of src/: "{used}"')


def objects(build):
    """Objects with the module each is of."""
    for path, _, names in os.walk(os.path.join(build, "src")):
        for name in names:
            if name.endswith(".o"):
                folder = os.path.relpath(path, os.path.join(build, "src"))
                stem = re.sub(r"^lib\w+_la-", "", name[:-2])
                yield (os.path.join(path, name), f"{room_of(folder)}/{stem}")


def read_symbols(build, nm, modules):
    """Pairs of modules of which one uses what the other defines; and the modules seen."""
    defined, used, seen = {}, [], set()
    for path, module in objects(build):
        if module not in modules:
            continue  # of a source that is gone
        seen.add(module)
        out = subprocess.run(nm.split() + ["-P", path], check=True, capture_output=True, text=True)
        for line in out.stdout.splitlines():
            symbol, kind = line.split()[:2]
            if kind in "Uwv":
                used.append((module, symbol))
            elif kind.isupper():
                defined.setdefault(symbol, module)
    pairs = [(module, defined[symbol], "uses " + symbol)
             for module, symbol in used if defined.get(symbol, module) != module]
    return pairs, seen


def circles(graph):
    """Sets of modules that all reach each other."""
    def reached(start):
        found, todo = set(), [start]
        while todo:
            for other in graph.get(todo.pop(), ()):
                if other not in found:
                    found.add(other)
                    todo.append(other)
        return found

    reach = {module: reached(module) for module in graph}
    found = []
    for module in sorted(graph):
        circle = {other for other in reach[module] if module in reach.get(other, ())}
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def check(source, build, nm, known):
    """What is wrong, a line each; and how much was looked at."""
    src = os.path.join(source, "src")
    wrong = []
    modules = {module_of(name) for name in sources(src)}
    includes = list(read_includes(src, wrong))
    symbols, seen = read_symbols(build, nm, modules)
    graph, why = {}, {}
    for user, other, how in includes + symbols:
        if user == other:
            continue
        graph.setdefault(user, set()).add(other)
        why.setdefault((user, other), how)
        if room_of(user) in ROOMS and room_of(other) in ROOMS and \
                ROOMS.index(room_of(user)) < ROOMS.index(room_of(other)):
            wrong.append(f"upward: {user} {how} of {other}")
    found = circles(graph)
    for circle in found:
        if circle not in known:
            wrong.append("circle: " + " ".join(sorted(circle)))
            wrong += [f"    {user} {why[user, other]}" for user in sorted(circle)
                      for other in sorted(graph[user] & circle)]
    wrong += ["no circle any more, take it out of KNOWN: " + " ".join(sorted(circle))
              for circle in known if circle not in found]
    for name in sources(src):
        if name.endswith(".c") and module_of(name) not in seen and "plugin" not in name:
            wrong.append(f"src/{name}: no object was built of it")
    return wrong, len(includes), len(symbols)


# ---- Whether it finds what is wrong -----------------------------------------------------

GOOD = {
    "base/a.h": "void a(void);\n",
    "base/a.c": '#include "base/a.h"\nvoid a(void) {}\n',
    "heap/b.h": '#include "base/a.h"\nvoid b(void);\n',
    "heap/b.c": '#include "heap/b.h"\nvoid b(void) { a(); }\n',
    "heap/c.h": "void c(void);\n",
    "heap/c.c": '#include "heap/b.h"\n#include "heap/c.h"\nvoid c(void) { b(); }\n',
}
BAD = [  # what is changed, and what is to be said
    ({"base/a.h": '#include "heap/c.h"\nvoid a(void);\n'}, "upward: base/a includes heap/c.h"),
    ({"base/a.c": "void c(void);\nvoid a(void) { c(); }\n"}, "upward: base/a uses c of heap/c"),
    ({"heap/b.h": '#include "base/a.h"\n#include "heap/c.h"\nvoid b(void);\n'},
     "circle: heap/b heap/c"),
    ({"heap/b.c": "void b(void); void c(void);\nvoid b(void) { c(); }\n"}, "circle: heap/b heap/c"),
    ({"heap/b.c": "extern int n;\nvoid b(void) { n++; }\n", "heap/c.c":
      '#include "heap/b.h"\nint n;\nvoid c(void) { b(); }\n'}, "circle: heap/b heap/c"),
    ({"heap/c.c": '#include "heap/b.c"\nvoid c(void) {}\n'}, "a source is included: heap/b.c"),
    ({"heap/c.c": '#include "b.h"\nvoid c(void) {}\n'}, 'write the folder of "b.h"'),
    ({"heap/c.c": '#include "nowhere/b.h"\nvoid c(void) {}\n'}, "not a folder of src/"),
    ({"cellar/d.c": "int d;\n"}, "no rule for the folder cellar"),
    ({"cli/d.c": '#include "heap/c.h"\nint d;\n'}, "may not include heap/c.h"),
]


def try_tree(files, compiler, nm, known=()):
    with tempfile.TemporaryDirectory() as tree:
        for name, text in files.items():
            path = os.path.join(tree, "src", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        for name in ("b.h", "nowhere/b.h"):  # for those that are to be found fault with
            path = os.path.join(tree, "any", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8"):
                pass
        for name in files:
            if name.endswith(".c"):
                path = os.path.join(tree, "src", name)
                subprocess.run(compiler.split() + ["-I", tree + "/src", "-I", tree + "/any", "-c",
                                                   path, "-o", path[:-2] + ".o"], check=True)
        return check(tree, tree, nm, list(known))[0]


def self_test(compiler, nm):
    failed = 0
    for change, expected in [({}, None)] + BAD:
        wrong = try_tree({**GOOD, **change}, compiler, nm)
        if (expected is None) != (not wrong) or expected and expected not in "\n".join(wrong):
            print(f"expected {expected}, found {wrong}")
            failed += 1
    if not any("take it out" in line for line in try_tree(GOOD, compiler, nm, [{"heap/b", "x"}])):
        print("a known circle that is gone wasn't told")
        failed += 1
    print(f"{len(BAD) + 2} made-up trees, {failed} judged wrongly")
    return failed != 0


def main(arguments):
    if arguments[0] == "--self-test":
        return self_test(*arguments[1:])
    wrong, includes, symbols = check(*arguments, KNOWN)
    for line in wrong:
        print(line)
    print(f"{includes} includes and {symbols} uses of symbols read, {len(wrong)} lines of complaint")
    return bool(wrong) or includes == 0 or symbols == 0


sys.exit(main(sys.argv[1:]))

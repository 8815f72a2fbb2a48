"""Work whose results are digested and printed, one line each, in a fixed order.

usage: python_work.py [LIBRARY]
With LIBRARY, asserts that this process and its children have that file mapped.
"""
import gc
import hashlib
import json
import multiprocessing
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import zlib

THREADS, FORKS, SUBPROCESSES, POOL_TASKS = 8, 20, 10, 8
LIBRARY = sys.argv[1] if len(sys.argv) > 1 else None


def check_library():
    if LIBRARY:
        with open("/proc/self/maps") as maps:
            assert LIBRARY in maps.read(), "the library is not in use"


def digest(value):
    return hashlib.sha256(repr(value).encode()).hexdigest()


def objects(seed):
    """Dicts, lists, strings and big integers that come and go."""
    rng, table = random.Random(seed), {}
    for step in range(10000):
        key = rng.randrange(4000)
        if key in table and rng.random() < 0.4:
            del table[key]
        else:
            table[key] = ["x" * rng.randrange(200), (step, step ** 20), {step: [None] * rng.randrange(30)}]
    words = sorted((v[0], k) for k, v in table.items())
    return digest(words), digest(sum(v[1][1] for v in table.values()))


def documents(seed):
    rng = random.Random(seed)
    data = [{"id": i, "name": "n" * rng.randrange(60), "list": [rng.random() for _ in range(10)]} for i in range(800)]
    text = json.dumps(data)
    assert json.loads(text) == data
    packed = [zlib.compress(text[i:].encode(), 6) for i in range(0, 50000, 10000)]
    assert all(zlib.decompress(p) == text[i * 10000:].encode() for i, p in enumerate(packed))
    found = re.findall(r'"name": "(n{10,40})", "list": \[0\.(\d+)', text)
    return digest(text), digest(found), digest(re.sub(r"n+(\w?)", lambda m: str(len(m.group())), text))


def database(seed):
    base, rng = sqlite3.connect(":memory:"), random.Random(seed)
    base.execute("create table t (id integer primary key, a integer, b text)")
    base.executemany("insert into t values (?, ?, ?)", ((i, rng.randrange(500), "b" * rng.randrange(100)) for i in range(4000)))
    base.execute("create index ti on t (a, b)")
    base.execute("delete from t where a % 7 = 3")
    base.commit()
    base.execute("vacuum")
    return digest(base.execute("select a, count(*), max(b), sum(id) from t group by a order by a").fetchall()), \
        digest(base.execute("select count(*) from t x join t y on x.a = y.a where x.id < y.id").fetchall())


def work(number):
    # large bytearrays are resized on the way and freed by another thread
    buffer = bytearray()
    for i in range(2000):
        buffer += bytes([i % 256]) * (i % 700)
    results[number] = objects(number) + documents(number) + database(number)
    handed_over.append(buffer)


def in_pool(number):
    check_library()
    return objects(number)[0]


def forked(number):
    """A fork while the other threads allocate; the child allocates, answers through a pipe and ends.

    The child must not touch a lock that another thread may have held at the fork: so no hashlib (OpenSSL's),
    and no cycle collector, which would finalize the other threads' sqlite cursors.
    """
    reader, writer = os.pipe()
    gc.disable()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check_library()
            table = {i: "v" * (i % 300) for i in range(20000)}
            big = [bytearray(1 << 20) for _ in range(8)]
            os.write(writer, str(zlib.crc32(repr((number, sorted(table.items()), len(big))).encode())).encode())
            status = 0
        finally:
            os._exit(status)
    gc.enable()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "a forked child failed"
    return answer


def main():
    check_library()
    threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    children = [forked(n) for n in range(FORKS)]
    outputs = [subprocess.run([sys.executable, "-S", "-c", f"print(sum(len(str(i)) for i in range({n}, 30000)))"],
                              check=True, capture_output=True, text=True) for n in range(SUBPROCESSES)]
    assert not any(output.stderr for output in outputs), "a subprocess complains"
    for thread in threads:
        thread.join()
    handed_over.clear()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pooled = pool.map(in_pool, range(100, 100 + POOL_TASKS))
    for number in range(THREADS):
        assert len(results.get(number, ())) == 7, f"thread {number} failed"
        print("thread", number, digest(results[number]))
    for kind, values in (("fork", children), ("subprocess", [o.stdout.strip() for o in outputs]), ("pool", pooled)):
        for number, value in enumerate(values):
            print(kind, number, value)
    print("all", digest((sorted(results.items()), children, pooled)))


results, handed_over = {}, []
if __name__ == "__main__":
    main()

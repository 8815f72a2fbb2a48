#!/usr/bin/python3
"""redis-server with 300 MiB of strings writes a snapshot (BGSAVE) while clients write: what does the fork cost?

1. A client fills it with the keys that redis-benchmark writes to.
2. BGSAVE forks a child, which is stopped at once: so parent and child share their memory for as long as 3 takes.
3. redis-benchmark: SET of random keys. This is the measured part.
4. The memory of both is read (smaps_rollup): Private_Dirty of each, what either has for itself; the sum of Pss, which is
   the peak; and added_bytes, that sum less what the server had before the fork. The child goes on and must end well.
"""
import sys
sys.dont_write_bytecode = True

import contextlib
import csv
import io
import os
import random
import signal
import time
from pathlib import Path
from typing import Iterator

from common import (CLIENT_SECONDS, Failed, Result, Server, Setup, Workload, children, kill, main, pss_bytes,
                    rollup_bytes, tool)
from redis import Client, check_malloc, ns, some_text, start

KEYS = 350_000              # at scale 100: 300 MiB
LEAST_KEYS = 20_000         # so that the child is still there when it is stopped
KEYS_SENT = 5000            # at a time
TEXTS = 1009                # different values
REQUESTS = 200_000          # at scale 100
VALUE_BYTES = 400


def fill(client: Client, keys: int) -> None:
    chance = random.Random(7)
    texts = [some_text(chance) for _ in range(TEXTS)]
    for first in range(0, keys, KEYS_SENT):
        numbers = range(first, min(first + KEYS_SENT, keys))
        if set(client.ask_all([(b"SET", b"key:%012d" % key, texts[key % TEXTS]) for key in numbers])) != {b"OK"}:
            raise Failed("redis refuses a SET")


@contextlib.contextmanager
def stopped_saver(server: Server, client: Client) -> Iterator[int]:
    """The child of a BGSAVE, which doesn't go on before the end of `with`."""
    client.ask(b"BGSAVE")
    savers = children(server.pid)
    if len(savers) != 1:
        raise Failed(f"BGSAVE has {len(savers)} children")
    os.kill(savers[0], signal.SIGSTOP)
    try:
        yield savers[0]
        os.kill(savers[0], signal.SIGCONT)
    except BaseException:
        kill(savers[0])         # the server, which ends now, would not
        raise


def await_save(client: Client) -> dict[str, str]:
    give_up = time.monotonic() + CLIENT_SECONDS
    while (info := client.info(b"persistence"))["rdb_bgsave_in_progress"] != "0":
        if time.monotonic() > give_up:
            raise Failed("BGSAVE doesn't end")
        time.sleep(0.02)
    if info["rdb_last_bgsave_status"] != "ok":
        raise Failed(f"BGSAVE ended with {info['rdb_last_bgsave_status']}")
    return info


def minor_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def benchmark(server: Server, program: str, path: Path, requests: int, keys: int) -> Result:
    before = minor_faults(server.pid)
    printed = server.client([program, "-s", str(path), "-t", "set", "-n", str(requests), "-r", str(keys), "-c", "20", "-P",
                             "16", "-d", str(VALUE_BYTES), "--precision", "3", "--csv"])
    rows = [row for row in csv.DictReader(io.StringIO(printed)) if row["test"] == "SET"]
    if len(rows) != 1:
        raise Failed(f"redis-benchmark printed {printed[-400:]!r}")
    return {"operations": requests, "seconds": requests / float(rows[0]["rps"]),
            "latency_ns": {"SET": {"p50": ns(rows[0]["p50_latency_ms"]), "p99": ns(rows[0]["p99_latency_ms"]),
                                   "max": ns(rows[0]["max_latency_ms"]), "count": requests}},
            "metrics": {"minor_faults": minor_faults(server.pid) - before,
                        "mappings": Path(f"/proc/{server.pid}/maps").read_text().count("\n")}}


def run(setup: Setup) -> Result:
    program = tool("redis-server", "redis-server")
    load = tool("redis-benchmark", "redis-tools")
    keys = setup.amount(KEYS, least=LEAST_KEYS)
    with Server(setup, [program, "--version"]) as server:
        path = start(server, program)
        client = Client(path)
        try:
            fill(client, keys)
            check_malloc(server, client)
            alone = pss_bytes(server.pid)
            with stopped_saver(server, client) as saver:
                result = benchmark(server, load, path, setup.amount(REQUESTS, least=200), keys)
                together = pss_bytes(server.pid) + pss_bytes(saver)
                result["metrics"] |= {"parent_dirty_bytes": rollup_bytes(server.pid, "Private_Dirty"),
                                      "children_dirty_bytes": rollup_bytes(saver, "Private_Dirty"),
                                      "added_bytes": together - alone}
            saved = await_save(client)
            result["metrics"] |= {"fork_us": int(client.info(b"stats")["latest_fork_usec"]),
                                  "rdb_last_cow_size": int(saved["rdb_last_cow_size"])}
            result |= {"final_bytes": server.resident(), "peak_bytes": max(together, server.peak())}
            if client.ask(b"DBSIZE") != keys:
                raise Failed("redis holds a wrong number of keys")
        finally:
            client.close()
        server.stop()
    return result


if __name__ == "__main__":
    sys.exit(main([Workload("fork-redis", "server", [1], "request",
                            "300 MiB of strings, of which a BGSAVE's child, stopped meanwhile, has a copy; SET", run,
                            quick=False)]))

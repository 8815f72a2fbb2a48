#!/usr/bin/python3
"""redis-server filled to 1 GiB, then a random 90 % of its keys deleted: how much memory goes back.

1. A client in this runner fills it with strings of 10 to 5,000 bytes: KEYS of them, by redis's own count 1 GiB.
2. redis-benchmark: SET and GET, 20 connections, 16 requests at a time.
3. The client deletes a random 90 % of its keys; the memory 2 s later is the settled one.
4. redis-benchmark again. 2 and 4 are the measured part; requests per second before and after are metrics.
5. What is left is read and compared.
"""
import sys
sys.dont_write_bytecode = True

import csv
import io
import random
import time
from pathlib import Path

from common import Failed, Result, Server, Setup, Workload, main, tool
from redis import Client, check_malloc, ns, some_text, start, watch

KEYS = 1_115_000            # at scale 100
KEYS_SENT = 500             # at a time
KEYS_DELETED = 100          # by one command
TEXTS = 1009                # different values; a prime, so that neighbours differ
COMMANDS = ("SET", "GET")
REQUESTS = 300_000          # of redis-benchmark for each command, at scale 100, before and after
VALUE_BYTES = 400           # of its values
KEY_RANGE = 20_000          # its keys, at scale 100: a hundredth of the memory
IDLE_SECONDS = 2.0
LOOKS = 10                  # at the memory meanwhile


class Filling:
    """What the server is to hold: the same in every run."""

    def __init__(self, keys: int) -> None:
        self.chance = random.Random(5)
        self.keys = keys
        self.texts = [some_text(self.chance) for _ in range(TEXTS)]

    def text(self, key: int) -> bytes:
        return self.texts[key * 7919 % TEXTS]

    def fill(self, client: Client) -> None:
        ends = [b"$%d\r\n%s\r\n" % (len(text), text) for text in self.texts]
        for first in range(0, self.keys, KEYS_SENT):
            keys = range(first, min(first + KEYS_SENT, self.keys))
            client.socket.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$9\r\nk%08d\r\n%s" % (key, ends[key * 7919 % TEXTS]) for key in keys))
            if client.file.read(5 * len(keys)) != b"+OK\r\n" * len(keys):
                raise Failed("redis refuses a SET")

    def delete_most(self, client: Client) -> list[int]:
        """Deletes a random 90 %, in random order, and gives the keys that are left."""
        order = list(range(self.keys))
        self.chance.shuffle(order)
        gone = order[:self.keys * 9 // 10]
        for first in range(0, len(gone), KEYS_DELETED):
            part = gone[first:first + KEYS_DELETED]
            if client.ask(b"DEL", *(b"k%08d" % key for key in part)) != len(part):
                raise Failed("redis doesn't delete keys that it was given")
        return order[len(gone):]

    def check(self, client: Client, left: list[int]) -> None:
        values = client.ask_all([(b"GET", b"k%08d" % key) for key in left])
        for key, value in zip(left, values):
            if value != self.text(key):
                raise Failed(f"redis has lost or changed the value of k{key:08d}")


def benchmark(server: Server, setup: Setup, program: str, path: Path, when: str) -> Result:
    requests = setup.amount(REQUESTS, least=200)
    printed = server.client([program, "-s", str(path), "-t", ",".join(COMMANDS).lower(), "-n", str(requests), "-r",
                             str(setup.amount(KEY_RANGE, least=10)), "-c", "20", "-P", "16", "-d", str(VALUE_BYTES),
                             "--precision", "3", "--csv"])
    rows = {row["test"]: row for row in csv.DictReader(io.StringIO(printed)) if row["test"] in COMMANDS}
    if len(rows) != len(COMMANDS):
        raise Failed(f"redis-benchmark printed {printed[-400:]!r}")
    return {
        "operations": requests * len(rows),
        "seconds": sum(requests / float(row["rps"]) for row in rows.values()),
        "latency_ns": {f"{name}-{when}": {"p50": ns(row["p50_latency_ms"]), "p99": ns(row["p99_latency_ms"]),
                                          "max": ns(row["max_latency_ms"]), "count": requests}
                       for name, row in rows.items()},
        "metrics": {f"requests_per_second_{name}_{when}": float(row["rps"]) for name, row in rows.items()}}


def run(setup: Setup) -> Result:
    program = tool("redis-server", "redis-server")
    load = tool("redis-benchmark", "redis-tools")
    with Server(setup, [program, "--version"]) as server:
        path = start(server, program)
        client = Client(path)
        try:
            series, look = watch(server, client)
            look()
            filling = Filling(setup.amount(KEYS, least=1000))
            filling.fill(client)
            filled = look()
            used = client.memory_info()["used_memory"]
            check_malloc(server, client)
            before = benchmark(server, setup, load, path, "before")
            look()
            left = filling.delete_most(client)
            deleted = look()
            for _ in range(LOOKS):
                time.sleep(IDLE_SECONDS / LOOKS)
                settled = look()
            used_settled = client.memory_info()["used_memory"]
            after = benchmark(server, setup, load, path, "after")
            filling.check(client, left)
            look()
            memory = {"resident_filled_bytes": filled, "used_filled_bytes": used, "resident_deleted_bytes": deleted,
                      "held_resident_bytes": settled, "held_live_bytes": used_settled}
            result = {"operations": before["operations"] + after["operations"],
                      "seconds": before["seconds"] + after["seconds"],
                      "latency_ns": before["latency_ns"] | after["latency_ns"],
                      "metrics": before["metrics"] | after["metrics"] | memory,
                      "peak_bytes": server.peak(), "final_bytes": settled, "settled_bytes": settled, "series": series}
        finally:
            client.close()
        server.stop()
    return result


if __name__ == "__main__":
    sys.exit(main([Workload("return-redis", "server", [1], "request",
                            "1 GiB of strings, a random 90 % deleted, then 2 s idle; SET and GET before and after",
                            run, quick=False)]))

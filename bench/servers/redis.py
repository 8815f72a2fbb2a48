#!/usr/bin/python3
"""redis-server under redis-benchmark, then filled, and most of its keys deleted.

1. redis-benchmark: six commands with values of three sizes, 20 connections, 16 requests at a time. This is the measured
   part; requests per second and latencies are redis-benchmark's own.
2. A client in this runner fills it: strings, hashes and lists of mixed sizes, a third of the strings rewritten in another
   size. Every answer is checked.
3. A random 90 % of the keys are deleted; the memory 2 s later is the final one. What is left is read and compared.

Debian's redis-server is linked with libjemalloc; a preloaded malloc comes before it and common.py checks that it does.
INFO memory names jemalloc all the same, because that is compiled in, but its allocator_allocated comes from jemalloc
itself: it has to be close to used_memory when jemalloc is measured, and far below it otherwise.
"""
import sys
sys.dont_write_bytecode = True

import csv
import io
import os
import random
import socket
import time
from pathlib import Path
from typing import Iterator

from common import Failed, Result, Server, Setup, Workload, main, tool

COMMANDS = ("SET", "GET", "LPUSH", "LPOP", "SADD", "HSET")
VALUE_BYTES = (24, 400, 4000)
REQUESTS = 80_000           # per command and size, at scale 100
KEY_RANGE = 20_000
FILL_KEYS = 80_000
BATCH = 200                 # commands that the filling client sends at a time
IDLE_SECONDS = 2.0
CRON_SECONDS = 2.0          # within which redis has counted again
TEXT = ("0123456789abcdefghijklmnopqrstuvwxyz" * 200).encode()


class Client:
    """The little of redis's protocol (RESP2) that is needed."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def reply(self) -> object:
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.file.read(size + 2)[:-2]
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        raise Failed(f"redis answers {line!r}")

    def ask(self, *words: bytes) -> object:
        self.socket.sendall(packed(words))
        return self.reply()

    def ask_all(self, commands: list[tuple[bytes, ...]]) -> list[object]:
        """Sends them in batches and gives the replies in order."""
        replies = []
        for start in range(0, len(commands), BATCH):
            batch = commands[start:start + BATCH]
            self.socket.sendall(b"".join(map(packed, batch)))
            replies += [self.reply() for _ in batch]
        return replies

    def info(self, section: bytes) -> dict[str, str]:
        text = self.ask(b"INFO", section)
        assert isinstance(text, bytes)
        return dict(line.split(":", 1) for line in text.decode().split("\r\n") if ":" in line)

    def memory_info(self) -> dict[str, int]:
        return {name: int(value) for name, value in self.info(b"memory").items() if value.isdigit()}


def packed(words: tuple[bytes, ...]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


# ---- the filling ----------------------------------------------------------------------------------

def some_text(chance: random.Random) -> bytes:
    """Sizes from 10 to 5,000 bytes, as many below 220 as above."""
    start = chance.randrange(36)
    return TEXT[start:start + int(10 * 500 ** chance.random())]


class Filling:
    """What the server is to hold: the same in every run."""

    def __init__(self, keys: int) -> None:
        self.chance = random.Random(3)
        self.names = [b"k%d" % number for number in range(keys)]
        self.strings: dict[bytes, bytes] = {}
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.lists: dict[bytes, list[bytes]] = {}

    def commands(self) -> Iterator[tuple[bytes, ...]]:
        for number, name in enumerate(self.names):
            texts = [some_text(self.chance) for _ in range(8 if number % 10 > 7 else 1)]
            if number % 10 == 8:
                self.hashes[name] = {b"f%d" % at: text for at, text in enumerate(texts)}
                yield (b"HSET", name, *(word for pair in self.hashes[name].items() for word in pair))
            elif number % 10 == 9:
                self.lists[name] = texts
                yield (b"RPUSH", name, *texts)
            else:
                self.strings[name] = texts[0]
                yield (b"SET", name, texts[0])

    def rewrites(self) -> Iterator[tuple[bytes, ...]]:
        for name in list(self.strings)[::3]:
            self.strings[name] = some_text(self.chance)
            yield (b"SET", name, self.strings[name])

    def delete_most(self, client: Client) -> list[bytes]:
        """Deletes a random 90 %, in random order, and gives the names that are left."""
        order = self.names[:]
        self.chance.shuffle(order)
        gone = order[:len(order) * 9 // 10]
        if client.ask_all([(b"DEL", name) for name in gone]) != [1] * len(gone):
            raise Failed("redis doesn't delete keys that it was given")
        return order[len(gone):]

    def check(self, client: Client, left: list[bytes]) -> None:
        for name in left:
            if name in self.strings:
                good = client.ask(b"GET", name) == self.strings[name]
            elif name in self.hashes:
                words = client.ask(b"HGETALL", name)
                assert isinstance(words, list)
                good = dict(zip(words[::2], words[1::2])) == self.hashes[name]
            else:
                good = client.ask(b"LRANGE", name, b"0", b"-1") == self.lists[name]
            if not good:
                raise Failed(f"redis has lost or changed the value of {name.decode()}")


# ---- the measured part ----------------------------------------------------------------------------

def benchmark(server: Server, program: str, path: Path, requests: int) -> Result:
    seconds = 0.0
    latency = {}
    rates = {}
    for size in VALUE_BYTES:
        text = server.client([program, "-s", str(path), "-t", ",".join(COMMANDS).lower(), "-n", str(requests),
                              "-r", str(KEY_RANGE), "-c", "20", "-P", "16", "-d", str(size), "--precision", "3", "--csv"])
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["test"] in COMMANDS]
        if len(rows) != len(COMMANDS):
            raise Failed(f"redis-benchmark printed {text[-400:]!r}")
        for row in rows:
            name = f"{row['test']}-{size}"
            rates[f"requests_per_second_{name}"] = float(row["rps"])
            seconds += requests / float(row["rps"])
            latency[name] = {"p50": ns(row["p50_latency_ms"]), "p99": ns(row["p99_latency_ms"]),
                             "max": ns(row["max_latency_ms"]), "count": requests}
    return {"operations": requests * len(COMMANDS) * len(VALUE_BYTES), "seconds": seconds, "latency_ns": latency,
            "metrics": rates | {"server_cpu_seconds": server.processor_seconds()}}


def ns(milliseconds: str) -> int:
    return round(float(milliseconds) * 1e6)


def check_malloc(server: Server, client: Client) -> None:
    """The other half of common.py's check: jemalloc's own count agrees with which malloc is measured. redis asks
    for that count ten times a second only."""
    is_asked = "jemalloc" in os.path.basename(os.path.realpath(server.preload))
    give_up = time.monotonic() + CRON_SECONDS
    while True:
        info = client.memory_info()
        if "allocator_allocated" not in info:
            return
        is_used = info["allocator_allocated"] > info["used_memory"] / 2
        if is_asked == is_used:
            return
        if time.monotonic() > give_up:
            raise Failed(f"jemalloc has {info['allocator_allocated']} of {info['used_memory']} bytes "
                         f"under {server.preload}")
        time.sleep(0.05)


def start(server: Server, program: str) -> Path:
    """Gives its socket."""
    path = server.folder / "socket"
    server.start([program, "--port", "0", "--unixsocket", str(path), "--dir", str(server.folder), "--save", "",
                  "--appendonly", "no", "--daemonize", "no"], lambda: pings(path))
    return path


def watch(server: Server, client: Client):
    """A list of [seconds, resident bytes, used bytes], and what adds to it and returns the resident ones."""
    started = time.monotonic()
    series = []

    def look() -> int:
        resident = server.resident()
        series.append([round(time.monotonic() - started, 3), resident, client.memory_info()["used_memory"]])
        return resident

    return series, look


def run(setup: Setup) -> Result:
    program = tool("redis-server", "redis-server")
    load = tool("redis-benchmark", "redis-tools")
    with Server(setup, [program, "--version"]) as server:
        path = start(server, program)
        client = Client(path)
        try:
            series, look = watch(server, client)
            at_start = look()
            result = benchmark(server, load, path, setup.amount(REQUESTS, least=200))
            loaded = look()
            client.ask(b"FLUSHALL")
            flushed = look()
            filling = Filling(setup.amount(FILL_KEYS, least=100))
            client.ask_all(list(filling.commands()))
            client.ask_all(list(filling.rewrites()))
            filled = look()
            info = client.memory_info()
            check_malloc(server, client)
            left = filling.delete_most(client)
            deleted = look()
            for _ in range(10):
                time.sleep(IDLE_SECONDS / 10)
                final = look()
            final_used = client.memory_info()["used_memory"]
            if client.ask(b"DBSIZE") != len(left):
                raise Failed("redis holds a wrong number of keys")
            filling.check(client, left)
            result["metrics"] |= {
                "resident_started_bytes": at_start, "resident_loaded_bytes": loaded, "resident_flushed_bytes": flushed,
                "resident_filled_bytes": filled, "used_filled_bytes": info["used_memory"],
                "resident_deleted_bytes": deleted, "used_final_bytes": final_used}
            result |= {"peak_bytes": server.peak(), "final_bytes": final, "settled_bytes": final, "series": series}
        finally:
            client.close()
        server.stop()
    return result


def pings(path: Path) -> bool:
    client = Client(path)
    try:
        return client.ask(b"PING") == b"PONG"
    finally:
        client.close()


if __name__ == "__main__":
    sys.exit(main([Workload("redis", "server", [1], "request",
                            "redis-benchmark's mixed commands and sizes, pipelined; then 90 % of the keys deleted", run)]))

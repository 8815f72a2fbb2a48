#!/usr/bin/python3
"""memcached with several threads under memcached_load, a pipelined client of several threads (Debian's main package of
memcached has no load tool).

memcached keeps its values in slabs of 1 MB that it never gives back; malloc sees those, the connections (which close and
come again) and their buffers. So this shows how a malloc serves a server that manages its memory itself, and the
final memory is taken 1 s after the last connection closed. Every answer is checked by the client.

The client is a program of the build: see built() in common.py.
"""
import sys
sys.dont_write_bytecode = True

import json
import os
import pwd
import socket
import time
from pathlib import Path

from common import Failed, Result, Server, Setup, Workload, built, main, tool

OPERATIONS = 1_200_000
KEYS = 60_000
CLIENT_THREADS = 2
CLIENT_CONNECTIONS = 8      # per thread
LEAST_OPERATIONS = CLIENT_THREADS * CLIENT_CONNECTIONS * 16 * 4
LIMIT_MB = 2048             # never reached: nothing may be evicted


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(path))
        client.sendall(b"version\r\n")
        return client.recv(100).startswith(b"VERSION")


def statistics(path: Path) -> dict[str, str]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"stats\r\n")
        with client.makefile("rb") as file:
            lines = iter(file.readline, b"END\r\n")
            return dict(line.decode().split()[1:3] for line in lines)


def run(setup: Setup) -> Result:
    program = tool("memcached", "memcached")
    client = built("bench/servers/memcached_load")
    with Server(setup, [program, "-V"]) as server:
        path = server.folder / "socket"
        server.start([program, "-s", str(path), "-t", str(setup.threads), "-m", str(LIMIT_MB), "-c", "256",
                      "-u", pwd.getpwuid(os.geteuid()).pw_name], lambda: answers(path))
        at_start = server.resident()
        amounts = [CLIENT_THREADS, CLIENT_CONNECTIONS, setup.amount(KEYS, least=100),
                   setup.amount(OPERATIONS, LEAST_OPERATIONS)]
        result = json.loads(server.client([client, str(path), *map(str, amounts)]))
        told = statistics(path)
        if int(told["evictions"]) or int(told["threads"]) != setup.threads:
            raise Failed(f"memcached ran with {told['threads']} threads and {told['evictions']} evictions")
        loaded = server.resident()
        seconds = server.processor_seconds()
        time.sleep(1)
        result |= {"final_bytes": server.resident(), "peak_bytes": server.peak(),
                   "metrics": {"resident_started_bytes": at_start, "resident_loaded_bytes": loaded,
                               "stored_bytes": int(told["bytes"]), "connections": int(told["total_connections"]),
                               "server_cpu_seconds": seconds}}
        server.stop()
    return result


if __name__ == "__main__":
    sys.exit(main([Workload("memcached", "server", [4], "request",
                            "memcached with worker threads, 16 connections that come and go, requests pipelined", run,
                            quick=False)]))

#!/usr/bin/python3
"""nginx with two worker processes under wrk: kept-alive connections and files of several sizes.

Files of 200 bytes to 256 KB, read into buffers (no sendfile, so that the answers pass through allocated memory), two of
them compressed on the way (zlib's state is a large block per request), and a page that includes three others
(subrequests). The number of requests is fixed: nginx_load.lua counts. After the load every file is fetched once more and
compared. Memory is the sum of Pss of the master and its workers, the final one 1 s after the last connection closed.
"""
import sys
sys.dont_write_bytecode = True

import gzip
import http.client
import json
import os
import pwd
import time
from pathlib import Path

from common import FOLDER, Failed, Result, Server, Setup, Workload, free_port, main, tool

REQUESTS = 40_000
CONNECTIONS = 32
START_TRIES = 5
FILES = {"small": 200, "page": 4_000, "medium": 30_000, "large": 256_000, "text.txt": 10_000, "book.txt": 60_000}
INCLUDED = ("small", "page", "small")
PATHS = ["/small", "/page", "/text.txt", "/small", "/medium", "/mixed.shtml", "/page", "/book.txt", "/small", "/large"]

CONFIGURATION = """
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/log warn;
worker_processes {workers};
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/plain txt; text/html shtml; }}
    default_type application/octet-stream;
    sendfile off;
    output_buffers 2 32k;
    keepalive_requests 200;
    gzip on;
    gzip_types text/plain;
    ssi on;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
    }}
}}
"""


def content(size: int) -> bytes:
    """Text whose first line is its size, so that a load client can check it."""
    lines = [b"%d\n" % size] + [b"line %d of %d, %x\n" % (at, size, at * 2654435761 % 2**32) for at in range(size // 20)]
    return b"".join(lines)[:size]


def write_files(folder: Path) -> dict[str, bytes]:
    """Writes what is served, and gives what a client is to read at each path."""
    (folder / "files").mkdir()
    expected = {f"/{name}": content(size) for name, size in FILES.items()}
    for path, text in expected.items():
        (folder / f"files{path}").write_bytes(text)
    body = b"".join(expected[f"/{name}"] for name in INCLUDED)
    head = b"%05d\n" % (len(body) + 6)     # the page's own first line, six bytes
    expected["/mixed.shtml"] = head + body
    includes = b"".join(b'<!--# include virtual="/%s" -->' % name.encode() for name in INCLUDED)
    (folder / "files/mixed.shtml").write_bytes(head + includes)
    return expected


def fetch(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"nginx answers {answer.status} for {path}")
        is_text = path.endswith(".txt") or path.endswith(".shtml")
        if is_text != (answer.headers["Content-Encoding"] == "gzip"):
            raise Failed(f"nginx answers {path} with the encoding {answer.headers['Content-Encoding']}")
        return gzip.decompress(body) if is_text else body
    finally:
        connection.close()


def start(server: Server, program: str, workers: int) -> int:
    """Starts it on a free port; another process may take the port meanwhile, then it's the next one."""
    user = f"user {pwd.getpwuid(0).pw_name} root;" if os.geteuid() == 0 else ""
    for tries_left in reversed(range(START_TRIES)):
        port = free_port()
        text = CONFIGURATION.format(user=user, folder=server.folder, workers=workers, port=port)
        (server.folder / "conf").write_text(text)
        try:
            server.start([program, "-p", str(server.folder), "-c", str(server.folder / "conf"),
                          "-e", str(server.folder / "log")],
                         lambda: fetch(port, "/small") == content(FILES["small"]))
            return port
        except Failed as error:
            if tries_left == 0 or "Address already in use" not in str(error):
                raise
    raise AssertionError("not reached")


def run(setup: Setup) -> Result:
    program = tool("nginx", "nginx")
    load = tool("wrk", "wrk")
    with Server(setup, [program, "-v"], multi_process=True) as server:
        expected = write_files(server.folder)
        port = start(server, program, setup.threads)
        at_start = server.resident()
        text = server.client([load, "-t", "1", "-c", str(CONNECTIONS), "-d", "250", "-s", str(FOLDER / "nginx_load.lua"),
                              f"http://127.0.0.1:{port}", "--", str(setup.amount(REQUESTS, least=200)), *PATHS])
        told = json.loads(text.rpartition("{\"operations")[1] + text.rpartition("{\"operations")[2])
        loaded = server.resident()
        seconds = server.processor_seconds()
        if told["wrong"] or told["errors"]:
            raise Failed(f"{told['wrong']} wrong answers ({told['wrong_text']}) and {told['errors']} errors")
        for path, right in expected.items():
            if fetch(port, path) != right:
                raise Failed(f"nginx serves something wrong for {path}")
        time.sleep(1)
        result = {"operations": told["operations"], "seconds": told["seconds"], "latency_ns": told["latency_ns"],
                  "final_bytes": server.resident(), "peak_bytes": server.peak(),
                  "metrics": {"resident_started_bytes": at_start, "resident_loaded_bytes": loaded,
                              "server_cpu_seconds": seconds}}
        server.stop()
    return result


if __name__ == "__main__":
    sys.exit(main([Workload("nginx", "server", [2], "request",
                            "nginx with worker processes: kept-alive connections, files of several sizes, gzip, includes", run,
                            quick=False)]))

#!/usr/bin/python3
"""A short load for the servers of test_replay.sh, on several connections at once.

usage: replay_load.py memcached SOCKET
       replay_load.py http PORT
       replay_load.py serve FOLDER

memcached: sets and gets of mixed sizes, each answer checked.  http: requests,
each on its own connection.  serve: the server for those, with a thread for each
connection; it prints "port N" and ends on SIGTERM.
"""
import functools
import http.server
import random
import signal
import socket
import sys
import threading

THREADS, REQUESTS = 4, 60
failures = []


def memcached(path, number):
    rng = random.Random(number)
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    file = client.makefile("rb")
    for step in range(REQUESTS * 10):
        value = bytes([65 + step % 26]) * rng.choice((10, 300, 5000, 100000))
        client.sendall(b"set k%d.%d 0 0 %d\r\n%s\r\n" % (number, step % 100, len(value), value))
        answer = file.readline()
        assert answer == b"STORED\r\n", answer
        client.sendall(b"get k%d.%d\r\n" % (number, step % 100))
        head = file.readline()
        assert head.startswith(b"VALUE"), head
        assert file.read(len(value) + 2)[:-2] == value and file.readline() == b"END\r\n"
    client.close()


def ask_http(port, number):
    for _ in range(REQUESTS):
        client = socket.create_connection(("127.0.0.1", int(port)), timeout=30)
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(65536):
            answer += part
        assert b" 200 OK" in answer, (number, answer[:80])
        client.close()


def serve(folder):
    def end(*_):
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print("port", server.server_address[1], flush=True)
    server.serve_forever()


def guarded(work, where, number):
    try:
        work(where, number)
    except BaseException as error:
        failures.append(error)
        raise


def main():
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    load = {"memcached": memcached, "http": ask_http}[sys.argv[1]]
    threads = [threading.Thread(target=guarded, args=(load, sys.argv[2], i))
               for i in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()

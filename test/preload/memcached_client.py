"""Drives memcached's text protocol from eight threads over a unix socket and checks every answer.

usage: memcached_client.py SOCKET keep|evict
keep: every value stored must be there. evict: a value may be missing or refused for want of memory, but a
value found must be right.
Prints "ok" as its last line when all answers were right; ends with a traceback and status 1 otherwise.
"""
import random
import socket
import sys
import threading

PATH, MODE = sys.argv[1], sys.argv[2]
THREADS, KEYS, ROUNDS = 8, 150, 1000
LARGE = 3_000_000


class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(PATH)
        self.file = self.socket.makefile("rb")

    def ask(self, line, body=None):
        self.socket.sendall(line.encode() + b"\r\n" + (body + b"\r\n" if body is not None else b""))
        return self.file.readline().rstrip().decode()

    def store(self, verb, key, value, extra=""):
        return self.ask(f"{verb} {key} 0 0 {len(value)}{extra}", value)

    def get(self, key, verb="get"):
        """The value (with its cas number for gets), None when missing."""
        head = self.ask(f"{verb} {key}")
        if head == "END":
            return None
        words = head.split()
        assert words[:2] == ["VALUE", key], head
        value = self.file.read(int(words[3]))
        assert self.file.read(2) == b"\r\n" and self.file.readline() == b"END\r\n"
        return (value, words[4]) if verb == "gets" else value

    def stats(self):
        answer, line = {}, self.ask("stats")
        while line != "END":
            _, name, value = line.split(" ", 2)
            answer[name] = value
            line = self.file.readline().rstrip().decode()
        return answer


def value_of(key, version, size):
    unit = f"{key}/{version};".encode()
    return (unit * (size // len(unit) + 1))[:size]


def equal(what, actual, expected):
    if MODE == "evict" and actual in (None, "NOT_FOUND", "NOT_STORED"):
        return
    assert actual == expected, f"{what}: {str(actual)[:80]!r} is not {str(expected)[:80]!r}"


def stored(answer):
    """True when stored; a full server that evicts may refuse, which also drops the old value."""
    if MODE == "evict" and answer.lower().startswith("server_error out of memory"):
        return False
    assert answer == "STORED", answer
    return True


def work(number):
    client, rng, model = Client(), random.Random(number), {}
    for step in range(ROUNDS):
        key = f"t{number}:k{rng.randrange(KEYS)}"
        action = rng.random()
        if action < 0.45:
            size = rng.choice((1, 30, 100, 900, 5000, 40000, 300000))
            value = value_of(key, step, size)
            if stored(client.store("set", key, value)):
                model[key] = value
            else:
                model.pop(key, None)
        elif action < 0.85:
            equal(key, client.get(key), model.get(key))
        elif action < 0.95:
            answer = client.ask(f"delete {key}")
            equal("delete", answer, "DELETED" if key in model else "NOT_FOUND")
            model.pop(key, None)
        elif key in model:
            answer = client.store("append", key, b"tail")
            equal("append", answer, "STORED")
            if answer == "STORED":
                model[key] += b"tail"
        answer = client.ask("incr shared 1")
        assert MODE == "evict" or answer.isdigit(), answer
    for key, value in model.items():
        equal(key, client.get(key), value)
    large = value_of("large", number, LARGE)
    if stored(client.store("set", f"large{number}", large)):
        equal("large get", client.get(f"large{number}"), large)


def guarded(number):
    try:
        work(number)
    except BaseException as error:
        failures.append(error)
        raise


failures = []
main = Client()
assert main.store("set", "shared", b"0") == "STORED"
threads = [threading.Thread(target=guarded, args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit(1)

equal("shared counter", main.get("shared"), str(THREADS * ROUNDS).encode())
assert main.store("set", "c", b"10") == "STORED"
assert main.ask("incr c 5") == "15" and main.ask("decr c 20") == "0"
value, cas = main.get("c", "gets")
assert main.store("cas", "c", b"new", " " + cas) == "STORED"
assert main.store("cas", "c", b"newer", " " + cas) == "EXISTS"
assert main.get("c") == b"new"
assert main.store("add", "c", b"other") == "NOT_STORED"
assert main.store("set", "toolarge", b"x" * (5 << 20)).startswith("SERVER_ERROR object too large")
main = Client()
stats = main.stats()
assert stats["threads"] == "4" and int(stats["cmd_set"]) > 1000, stats
assert (int(stats["evictions"]) > 0) == (MODE == "evict"), stats["evictions"]
assert main.ask("flush_all") == "OK" and main.get("c") is None
print("ok")

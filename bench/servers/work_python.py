#!/usr/bin/python3
"""The work of python.py: PIECES pieces of work on COUNT threads or processes; prints one JSON object.

usage: work_python.py threads|processes COUNT PIECES

Every piece makes the same kind of documents, from one of eight seeds, and its digest is known (DIGESTS); another one ends
the program with status 1. Between threads the documents go through a queue of bounded length, so that half of the
memory is freed by a thread that didn't allocate it.
"""
import sys
sys.dont_write_bytecode = True

import gc
import hashlib
import json
import os
import queue
import random
import re
import threading
import time

from common import PssSampler, pss_bytes, status_bytes

DIGESTS = (
    "ea4f9bb4993233f324f2fa93cc93ff0c", "4fee388313eb5a2d185f525bb79005ee",
    "ea42421b2ef19e5819514959feff3e67", "186aa8d671b9995ba2a4f1f467c64196",
    "524ac2b22da4b1a586304735feeadedd", "7552daf998b612fd2052f46696c605b2",
    "1c13dc217a3b73284af19298702f3b80", "1a12250651573fbd624d2f9233c8078d",
)
RECORDS = 120
WAITING = 16            # documents in the queue at most


def document(seed: int) -> str:
    """json text of records with nested lists, dicts and strings of many sizes"""
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randrange(3, 14))) for _ in range(200)]
    records = [{"id": number, "name": " ".join(chance.choices(words, k=3)), "tags": chance.sample(words, 8),
                "scores": [chance.random() for _ in range(20)],
                "parts": {word: {"count": chance.randrange(10**12), "text": word * chance.randrange(1, 60)}
                          for word in chance.sample(words, 6)}}
               for number in range(RECORDS)]
    return json.dumps(records)


def churn(text: str) -> str:
    """Parses a document, counts, regroups, sorts and rewrites it; gives a digest of all of that."""
    records = json.loads(text)
    counts: dict[str, int] = {}
    by_tag: dict[str, list[str]] = {}
    for record in records:
        for word in re.findall(r"\w+", record["name"]) + record["tags"]:
            counts[word] = counts.get(word, 0) + 1
        for tag in record["tags"]:
            by_tag.setdefault(tag, []).append(f"{record['name']}/{record['id']:06d}")
        for word in list(record["parts"]):
            if record["parts"][word]["count"] % 3:
                del record["parts"][word]
    lines = [f"{tag}: {'; '.join(sorted(names))}" for tag, names in sorted(by_tag.items())]
    page = "\n".join(lines).replace("a", "AA").upper().split("\n")
    page.sort(key=lambda line: (len(line), line))
    table = {number: (str(number), [number] * (number % 7)) for number in range(4000)}
    for number in range(0, 4000, 3):
        del table[number]
    result = json.dumps([records, sorted(counts.items()), page, len(table)], sort_keys=True)
    return hashlib.md5(result.encode(), usedforsecurity=False).hexdigest()


def check(seed: int, digest: str) -> None:
    if digest != DIGESTS[seed]:
        # os._exit: from a thread, with others waiting for it
        print(f"work_python.py: wrong digest {digest} of piece {seed}", file=sys.stderr, flush=True)
        os._exit(1)


def in_threads(count: int, pieces: int) -> None:
    """Half of the threads make documents, the others use them."""
    documents: queue.Queue[tuple[int, str] | None] = queue.Queue(WAITING)
    makers = max(1, count // 2)

    def make(first: int) -> None:
        for piece in range(first, pieces, makers):
            text = document(piece % 8)
            documents.put((piece % 8, text))
            documents.put((piece % 8, json.dumps(json.loads(text))))
        documents.put(None)

    def use(ends: int) -> None:
        while ends > 0:
            item = documents.get()
            if item is None:
                ends -= 1
                continue
            check(item[0], churn(item[1]))

    users = max(1, count - makers)
    # each maker's None ends one user; there may be more users, which are ended when the makers have
    threads = [threading.Thread(target=make, args=(first,)) for first in range(makers)]
    threads += [threading.Thread(target=use, args=(1,)) for _ in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads[:makers]:
        thread.join()
    for _ in range(users - makers):
        documents.put(None)
    for thread in threads[makers:]:
        thread.join()


def in_processes(count: int, pieces: int) -> int:
    """Forks the processes, waits for them, and gives the highest sum of Pss meanwhile."""
    shared = [document(seed) for seed in range(8)]      # written before the fork, used by all
    workers = []
    for first in range(count):
        pid = os.fork()
        if pid == 0:
            for piece in range(first, pieces, count):
                check(piece % 8, churn(document(piece % 8)))
                check(piece % 8, churn(shared[piece % 8]))
            os._exit(0)
        workers.append(pid)
    sampler = PssSampler(os.getpid())
    sampler.sample()
    sampler.start()
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    sampler.stop()
    if any(statuses):
        sys.exit(f"work_python.py: processes ended with {statuses}")
    return sampler.peak


def work() -> dict[str, object]:
    mode, count, pieces = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    started = time.monotonic()
    result: dict[str, object] = {}
    if mode == "threads":
        in_threads(count, pieces)
    else:
        result["peak_bytes"] = in_processes(count, pieces)
    result |= {"operations": pieces * 2, "seconds": time.monotonic() - started}
    gc.collect()
    result["final_bytes"] = status_bytes(os.getpid(), "VmRSS") if mode == "threads" else pss_bytes(os.getpid())
    return result


if __name__ == "__main__":
    print(json.dumps(work()))

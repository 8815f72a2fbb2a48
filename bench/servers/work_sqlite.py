#!/usr/bin/python3
"""The work of sqlite.py: JOBS jobs on THREADS threads; prints one JSON object.

usage: work_sqlite.py THREADS JOBS

A job opens a connection with tables in memory, fills them, changes, joins and groups them, and deletes most rows. Its
connection stays open while the thread does its next OPEN jobs and is then closed, so many connections are alive at a
time. Every job has the same RESULT; another one ends the program with status 1.
"""
import sys
sys.dont_write_bytecode = True

import collections
import json
import os
import sqlite3
import threading
import time

from common import status_bytes

OPEN = 8        # connections that a thread keeps
ROWS = 6000
RESULT: list[object] = [
    [["town 30", 124, 64614, 3845], ["town 32", 124, 64562, 3845], ["town 69", 124, 64194, 3851],
     ["town 71", 124, 64142, 3849], ["town 73", 124, 63942, 3847]],
    [[6000, 1615821, "name fff"]],
    [[12000, "thing 0 of 31303030313631393530"]],
    [[1200, 601200]],
    [["ok"]],
]

SCRIPT = f"""
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town TEXT, note TEXT);
CREATE TABLE sale (id INTEGER PRIMARY KEY, person INTEGER, amount INTEGER, what TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
    INSERT INTO person SELECT i, printf('name %x', i * 7919 % 10007), printf('town %d', i * 31 % 97),
        substr(hex(printf('%0*d', 10 + i % 300, i)), 1, 20 + i * 13 % 500) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {2 * ROWS})
    INSERT INTO sale SELECT i, i * 7 % {ROWS} + 1, i * 37 % 1000, printf('thing %d of %s', i % 50, hex(i * 104729)) FROM n;
COMMIT;
CREATE INDEX by_town ON person (town, name);
CREATE INDEX by_person ON sale (person);
UPDATE person SET note = note || upper(name) || note WHERE id % 3 = 0;
"""
QUERIES = (
    "SELECT town, count(*), sum(amount), length(group_concat(what, ';')) FROM person JOIN sale ON person = person.id "
    "GROUP BY town ORDER BY sum(amount) DESC, town LIMIT 5",
    "SELECT count(*), sum(length(note)), max(name) FROM (SELECT note, name FROM person ORDER BY note, name)",
    "SELECT count(DISTINCT what), min(what) FROM sale",
)


def job() -> tuple[sqlite3.Connection, list[object]]:
    connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    connection.executescript(SCRIPT)
    results: list[object] = [connection.execute(query).fetchall() for query in QUERIES]
    connection.execute("DELETE FROM person WHERE id * 7919 % 10 <> 3")
    connection.execute("DELETE FROM sale WHERE person NOT IN (SELECT id FROM person)")
    results.append(connection.execute("SELECT count(*), sum(amount) FROM sale").fetchall())
    results.append(connection.execute("PRAGMA integrity_check").fetchall())
    return connection, results


def work_through(jobs: int) -> None:
    is_open: collections.deque[sqlite3.Connection] = collections.deque()
    for _ in range(jobs):
        connection, results = job()
        if json.loads(json.dumps(results)) != RESULT:
            # os._exit: from a thread
            print(f"work_sqlite.py: wrong result {json.dumps(results)}", file=sys.stderr, flush=True)
            os._exit(1)
        is_open.append(connection)
        if len(is_open) > OPEN:
            is_open.popleft().close()
    for connection in is_open:
        connection.close()


def work() -> dict[str, object]:
    count, jobs = int(sys.argv[1]), int(sys.argv[2])
    started = time.monotonic()
    threads = [threading.Thread(target=work_through, args=(len(range(first, jobs, count)),)) for first in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    return {"operations": jobs, "seconds": seconds, "final_bytes": status_bytes(os.getpid(), "VmRSS")}


if __name__ == "__main__":
    print(json.dumps(work()))

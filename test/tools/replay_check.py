#!/usr/bin/python3
"""Checks of test_replay.sh on the JSON that replay prints.

usage: replay_check.py replayed RESULT          a replay with --verify
       replay_check.py again INFO INFO RESULT   a trace, and the trace of its own replay
       replay_check.py points POINTS RESULT     what the recorded program counted itself
       replay_check.py side_by_side FOLDER ALLOCATOR...   what bench/replay wrote

Bytes alive must agree to within 1 % after the same count of calls.
"""
import bisect
import csv
import json
import sys
from xml.dom import minidom

TOLERANCE = 0.01
# Calls that a replay may add to its own record: those of its start, and the end of a thread calls
# free(NULL).
STRAY_CALLS = 20
STRAY_CALLS_OF_THREAD = 4


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def check(is_good, text):
    if not is_good:
        sys.exit(f"FAILED: {text}")


def near(actual, expected, base):
    return abs(actual - expected) <= TOLERANCE * base


def check_curve(result):
    """Every point of the curve, at the same count of calls."""
    peak = result["metrics"]["recorded_peak_live_bytes"]
    for calls, recorded, replayed in result["curve"]:
        check(near(replayed, recorded, max(recorded, peak / 16)),
              f"after {calls} calls {replayed} bytes are alive, recorded were {recorded}")


def replayed(path):
    result = load(path)
    metrics, counts = result["metrics"], result["counts"]
    calls = sum(counts[name] for name in ("malloc", "calloc", "aligned", "realloc", "free",
                                          "free_null"))
    check(result["operations"] == calls, f"{result['operations']} calls replayed of {calls}")
    check(metrics["lost_calls"] == 0, f"{metrics['lost_calls']} calls were lost")
    check(metrics["live_deviation"] == 0, f"deviation {metrics['live_deviation']} at checkpoints")
    check(metrics["live_deviation_between"] <= TOLERANCE,
          f"deviation {metrics['live_deviation_between']} between checkpoints")
    check(metrics["final_live_bytes"] == metrics["recorded_final_live_bytes"],
          f"{metrics['final_live_bytes']} bytes are alive at the end,"
          f" recorded were {metrics['recorded_final_live_bytes']}")
    check(result["seconds"] > 0 and result["peak_bytes"] > 0, "no time or no memory was measured")
    check(len(result["curve"]) > 50, "the curve has hardly any points")
    check_curve(result)
    print(f"{result['workload']}: {calls} calls, {result['threads']} threads,"
          f" {metrics['freed_by_other_thread']} handled by another thread;"
          f" deviation {100 * metrics['live_deviation_between']:.2f} %")


def again(first_path, second_path, result_path):
    """The recorder saw the replay make the calls that it saw the program make."""
    first, second, result = load(first_path), load(second_path), load(result_path)
    stray = STRAY_CALLS + STRAY_CALLS_OF_THREAD * first["counts"]["created"]
    for name, count in first["counts"].items():
        extra = second["counts"][name] - count
        check(0 <= extra <= (stray if name == "free_null" else STRAY_CALLS), f"{count} calls of {name} recorded,"
              f" {second['counts'][name]} seen of the replay")
    shift = second["operations"] - result["operations"]
    calls = [point[0] for point in second["curve"]]
    peak = first["metrics"]["recorded_peak_live_bytes"]
    for at, recorded in first["curve"]:
        first_point = max(bisect.bisect_left(calls, at) - 2, 0)
        last_point = bisect.bisect_left(calls, at + shift) + 2
        around = [point[1] for point in second["curve"][first_point:last_point]]
        slack = TOLERANCE * max(recorded, peak / 16)
        check(min(around) - slack <= recorded <= max(around) + slack,
              f"after {at} calls {recorded} bytes were alive, in the replay"
              f" {min(around)} to {max(around)}")
    print(f"the recorded replay agrees at {len(first['curve'])} points, {shift} calls more")


def points(points_path, result_path):
    """The program's own count lies between the curve's values around it."""
    result = load(result_path)
    curve = result["curve"]
    calls = [point[0] for point in curve]
    with open(points_path, encoding="utf-8") as file:
        counted = [tuple(map(int, line.split()[1:])) for line in file if line.startswith("POINT")]
    check(len(counted) >= 10, f"only {len(counted)} points")
    # The libraries' own calls put the program's count a little behind the trace's.
    behind = result["operations"] - counted[-1][0]
    check(0 <= behind <= 100, f"{behind} calls that the program didn't count")
    for at, live in counted:
        first = bisect.bisect_left(calls, at) - 1
        last = bisect.bisect_left(calls, at + behind)
        for column, what in ((1, "recorded"), (2, "replayed")):
            around = [point[column] for point in curve[max(first, 0):last + 1]]
            slack = TOLERANCE * live
            check(min(around) - slack <= live <= max(around) + slack,
                  f"after {at} calls the program counted {live} bytes alive, {what} {around}")
    print(f"the program's own count agrees at {len(counted)} points")


def side_by_side(folder, *names):
    """Every replay is a row, with the machine's state; the page is well-formed."""
    results = load(f"{folder}/results.json")
    with open(f"{folder}/raw.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    page = minidom.parse(f"{folder}/report.html")
    runs = results["runs"]
    loads = [workload["name"] for workload in results["workloads"]]
    check(len(loads) == 2 and len(rows) == len(runs) >= 2 * len(loads) * len(names),
          f"{len(rows)} rows, {len(runs)} runs of {loads}")
    used = {(run["workload"], run["allocator"], run["round"]) for run in runs if run["is_used"]}
    check(used == {(load, name, number) for load in loads for name in names for number in (1, 2)},
          f"not every replay succeeded: {sorted(used)}")
    has_probe = results["machine"]["cpus_usable"] > 1
    check(all((run[probe] is not None) == has_probe for run in runs
              for probe in ("probe_before_ns", "probe_after_ns")), "a run isn't bracketed by probes")
    check(all("malloc" in run["latency_ns"] for run in runs if run["workload"] == loads[1]),
          "the second load has no latencies")
    counted = {run["allocator"] for run in runs if "lock_arena_taken" in run["metrics"]}
    check(counted == {"tidepool"}, f"statistics of {counted}: the caller's settings got through")
    check(len(page.getElementsByTagName("svg")) > 4, "the page has hardly any plots")
    print(f"{len(rows)} rows of {len(names)} allocators side by side")


if __name__ == "__main__":
    {"replayed": replayed, "again": again, "points": points,
     "side_by_side": side_by_side}[sys.argv[1]](*sys.argv[2:])

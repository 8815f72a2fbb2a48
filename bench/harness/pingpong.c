/* bench/harness/pingpong.c - what it costs now to move a cache line between CPUs
 *
 * usage: pingpong [--cpus A,B] [--milliseconds N]
 *
 * Two threads, pinned on two CPUs, write one cache line in turns.  Prints one
 * JSON object: {"round_trip_ns", "mean_ns", "round_trips", "cpus": [A, B]}, or
 * {"skipped": "reason"} where only one CPU may be used.  round_trip_ns is the
 * median of short batches, so a thread that loses its CPU for a while doesn't
 * count; mean_ns has everything.
 *
 * Without --cpus these are the first and the last CPU that the process may use.
 * The threads share one atomic: `turn`, on a cache line of its own; an odd
 * number is the second thread's turn.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 50, MOST_BATCHES = 1 << 14, CACHE_LINE = 64 };

static _Alignas(2 * CACHE_LINE) struct {
    _Atomic uint64_t turn; /* release by who wrote, acquire by who waits */
    char rest[2 * CACHE_LINE - sizeof(uint64_t)];
} shared;

static const uint64_t END = UINT64_MAX;

static uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void relax(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

static bool pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}

/* The second thread: answers every odd number with the next even one. */
static void *answer(void *argument)
{
    uint64_t expected = 1;

    if (!pin(*(const int *)argument))
        fprintf(stderr, "pingpong: a thread could not be pinned\n");
    for (;; expected += 2) {
        uint64_t turn;

        while ((turn = atomic_load_explicit(&shared.turn, memory_order_acquire)) != expected) {
            if (turn == END)
                return NULL;
            relax();
        }
        atomic_store_explicit(&shared.turn, expected + 1, memory_order_release);
    }
}

static uint64_t serve_batch(uint64_t turn)
{
    for (int n = 0; n < BATCH; n++, turn += 2) {
        atomic_store_explicit(&shared.turn, turn + 1, memory_order_release);
        while (atomic_load_explicit(&shared.turn, memory_order_acquire) != turn + 2)
            relax();
    }
    return turn;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static void measure(const int cpus[2], unsigned milliseconds)
{
    static double batches[MOST_BATCHES]; /* ns per round trip */
    uint64_t start, end, before, after, turn = 0;
    int count = 0;

    turn = serve_batch(turn); /* the other thread is there now */
    start = before = now_ns();
    end = start + (uint64_t)milliseconds * 1000000;
    do {
        turn = serve_batch(turn);
        after = now_ns();
        batches[count++] = (double)(after - before) / BATCH;
        before = after;
    } while (after < end && count < MOST_BATCHES);
    atomic_store_explicit(&shared.turn, END, memory_order_release);
    qsort(batches, (size_t)count, sizeof *batches, compare_doubles);
    printf(
        "{\"round_trip_ns\": %.1f, \"mean_ns\": %.1f, \"round_trips\": %d, \"cpus\": [%d, %d]}\n",
        batches[count / 2], (double)(after - start) / count / BATCH, count * BATCH, cpus[0],
        cpus[1]);
}

static bool choose_cpus(int cpus[2])
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) < 2)
        return false;
    cpus[0] = cpus[1] = -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set)) {
            if (cpus[0] < 0)
                cpus[0] = cpu;
            cpus[1] = cpu;
        }
    return true;
}

static int usage(void)
{
    fprintf(stderr, "usage: pingpong [--cpus A,B] [--milliseconds 1...1000]\n");
    return 2;
}

int main(int argc, char **argv)
{
    int cpus[2] = {-1, -1};
    unsigned milliseconds = 10;
    pthread_t other;
    int error;

    for (int n = 1; n < argc; n += 2) {
        if (n + 1 == argc)
            return usage();
        if (strcmp(argv[n], "--cpus") == 0) {
            if (sscanf(argv[n + 1], "%d,%d", &cpus[0], &cpus[1]) != 2 || cpus[0] == cpus[1])
                return usage();
        } else if (strcmp(argv[n], "--milliseconds") != 0 ||
                   sscanf(argv[n + 1], "%u", &milliseconds) != 1 || milliseconds < 1 ||
                   milliseconds > 1000) {
            return usage();
        }
    }
    if (cpus[0] < 0 && !choose_cpus(cpus)) {
        printf("{\"skipped\": \"only one CPU may be used\"}\n");
        return 0;
    }
    error = pthread_create(&other, NULL, answer, &cpus[1]);
    if (error || !pin(cpus[0])) {
        fprintf(stderr, "pingpong: %s\n", error ? strerror(error) : "CPU can't be used");
        return 1;
    }
    measure(cpus, milliseconds);
    pthread_join(other, NULL);
    return 0;
}

/* bench/workloads/ticks.h - the cheapest clock there is, in ticks of its own
 *
 * On x86-64 the time stamp counter, fenced so that no instruction of the timed
 * call is counted outside it; elsewhere nanoseconds of CLOCK_MONOTONIC.
 * common.c measures ticks against CLOCK_MONOTONIC over every run's loop.
 */
#ifndef BENCH_TICKS_H
#define BENCH_TICKS_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

#ifdef __x86_64__

static inline uint64_t now_ticks(void)
{
    uint64_t ticks;

    __builtin_ia32_lfence();
    ticks = __builtin_ia32_rdtsc();
    __builtin_ia32_lfence();
    return ticks;
}

#else

static inline uint64_t now_ticks(void)
{
    return now_ns();
}

#endif

#endif

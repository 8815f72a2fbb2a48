/* bench/trace/run.h - carries out a plan on the malloc in use, and measures
 *
 * Until run_plan returns, the calls of the plan and those that pthread_create
 * makes are the only ones to malloc.
 */
#ifndef TIDE_BENCH_RUN_H
#define TIDE_BENCH_RUN_H

#include "plan.h"

enum run_touch {
    TOUCH_NOTHING,
    TOUCH_ENDS,  /* a block's first and last byte */
    TOUCH_PAGES, /* and a byte of every page */
};

struct run_options {
    enum run_touch touch;
    bool times_calls;   /* fills latencies; costs two readings of the clock per call */
    bool counts_points; /* fills point_live; every call then counts in one place */
};

/* Counts by value, at most 1/32 too high; values are ns. */
#define HISTOGRAM_SUB     32
#define HISTOGRAM_BUCKETS ((64 - 4) * HISTOGRAM_SUB)
struct histogram {
    uint64_t count;
    uint64_t most;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

struct latencies {
    struct histogram malloc, free, realloc;
};

struct run_sample {
    double seconds;
    uint64_t resident_bytes;
    uint64_t live_bytes;
};
#define RUN_SAMPLES 512

struct run_result {
    double seconds;
    double processor_seconds;
    double wait_seconds; /* of threads, for others: the order of shared blocks, and spans */
    uint64_t operations;
    uint64_t base_bytes; /* resident before; not part of the others */
    uint64_t peak_bytes;
    uint64_t final_bytes;
    int64_t live_bytes;  /* at the end */
    uint64_t *span_live; /* replayed, as in the plan */
    uint64_t *point_live;
    struct latencies *latencies; /* NULL unless asked for */
    double clock_ns;             /* what a reading of the clock costs, part of each latency */
    struct run_sample samples[RUN_SAMPLES];
    unsigned sample_count;
};

/* Ends the program with a message if malloc fails. */
bool run_plan(const struct plan *plan, const struct run_options *options,
              struct run_result *result, struct trace_error *error);

/* The value below which the share, 0 to 1, of all lies. */
uint64_t histogram_value(const struct histogram *histogram, double share);

#endif

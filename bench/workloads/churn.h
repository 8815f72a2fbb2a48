/* bench/workloads/churn.h - the blocks of a worker whose demand drifts; see churn.c */
#ifndef BENCH_CHURN_H
#define BENCH_CHURN_H

#include "held.h"

/* Blocks live the longer, the smaller the part of the replacements that is
 * theirs, by their part of the bytes. */
enum lives { SHORT, MEDIUM, LONG, LIVES };

struct population {
    int64_t bytes;
    uint32_t count, room;
    void **blocks;
};

/* Afterwards the worker's state is an array of LIVES populations, without blocks. */
void set_up_churn(struct worker *worker);

/* All of the run's work; leaves the blocks of the least load alive. */
void churn(struct worker *worker);

#endif

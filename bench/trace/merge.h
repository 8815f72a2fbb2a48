/* bench/trace/merge.h - the events of all threads of a trace, in their order
 *
 * A realloc comes twice: when it began, and when it was done.
 */
#ifndef TIDE_BENCH_MERGE_H
#define TIDE_BENCH_MERGE_H

#include "trace.h"

struct merge_lane {
    uint64_t key; /* order of what comes next */
    uint32_t thread;
    bool has_begun; /* the realloc that is next */
    struct trace_event event;
    struct trace_cursor cursor;
};

struct merge {
    struct merge_lane *lanes; /* one a thread */
    uint32_t *heap;           /* lanes, the least key first */
    uint32_t count;
    uint64_t last_key;
    bool has_last;
    uint64_t lanes_room, heap_room; /* bytes */
};

bool merge_start(struct merge *merge, const struct trace *trace, struct trace_error *error);
void merge_stop(struct merge *merge);

/* 1 with the next event, which stays valid until the next call; 0 at the end;
 * -1 if the trace is damaged.  begins: a realloc that began. */
int merge_next(struct merge *merge, uint32_t *thread, const struct trace_event **event,
               bool *begins, struct trace_error *error);

#endif

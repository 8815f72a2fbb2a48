/* bench/trace/plan.h - a trace made ready to be replayed
 *
 * All that can be known before the measured part is worked out here, in order
 * of the recorded calls: which call frees which block, which blocks pass from
 * thread to thread, and who creates whom.  The result is one array of steps per
 * thread, and a table of slots that hold the blocks.
 *
 * A block that one thread alone handles has a slot that no other touches.  A
 * shared block's slot counts its steps: each waits for its turn, so a free
 * waits for the malloc in another thread, and a slot is used again only behind
 * the free before it.
 *
 * Spans: a thread begins a span when all threads are through with the one
 * before.  Otherwise threads that the recorded program made wait (for a client,
 * for each other) would run at once, and the blocks alive would not be the
 * recorded ones.  Inside a span only shared blocks order the threads.  Spans are
 * as long as that can't matter: in whatever order the threads go through one,
 * the bytes alive stay within the given drift of the recorded ones after the
 * same count of calls.  A thread's end is behind all that was before it.
 *
 * Not thread-safe; never calls malloc.  Steps are read-only once built.
 */
#ifndef TIDE_BENCH_PLAN_H
#define TIDE_BENCH_PLAN_H

#include "trace.h"

enum step_kind {
    STEP_MALLOC,
    STEP_CALLOC,
    STEP_ALIGNED,
    STEP_REALLOC,
    STEP_FREE,
    STEP_FREE_NULL,
    STEP_CREATE, /* slot: the thread */
    STEP_SPAN,   /* slot: the span that ends for this thread; turn: the one that begins */
};
#define STEP_SIZE_MOST ((UINT64_C(1) << 48) - 1)

struct step {
    uint32_t slot;
    uint32_t turn;          /* of a shared slot: its step number */
    uint64_t size : 48;     /* bytes asked for */
    uint64_t kind : 8;      /* enum step_kind */
    uint64_t align_log2 : 6;
    uint64_t is_shared : 1; /* wait for the turn, and pass it on */
};
_Static_assert(sizeof(struct step) == 16, "a step is a quarter of a cache line");

struct plan_thread {
    struct step *steps;
    uint64_t step_count;
    uint32_t first_span;
    bool takes_part; /* in spans: false if it has nothing to do */
    bool is_used;    /* has steps, or was created */
    bool ends;       /* before the program does */
};

struct plan_counts {
    uint64_t malloc_calls, calloc_calls, aligned_calls, realloc_calls, free_calls, free_null_calls;
    uint64_t created, ended; /* threads */
    uint64_t failed;       /* allocations that failed: not replayed */
    uint64_t foreign;      /* frees of blocks that were not seen allocated: not replayed */
    uint64_t implied;      /* frees that were not seen: the address was allocated again */
    uint64_t from_other;   /* frees and reallocs by another thread than the allocating one */
    uint64_t operations;   /* calls replayed: the first six, without failed and foreign */
    uint64_t live_bytes;   /* at the end */
    uint64_t peak_bytes;   /* alive at once */
    uint64_t duration;     /* ns, of the recorded program */
};

struct plan {
    struct plan_thread *threads;
    uint32_t thread_count;
    uint32_t thread_most; /* alive at once */
    uint32_t slot_count;
    uint32_t span_count;
    uint32_t *span_threads; /* threads with steps in the span */
    uint64_t *span_ends;    /* operations when the span has ended */
    struct plan_counts counts;

    /* Recorded bytes alive after each span, and after each stride of operations. */
    uint64_t *span_live;
    uint64_t *point_live;
    uint64_t stride;
    uint64_t point_count;
    uint64_t point_most;

    struct {
        void *memory;
        uint64_t size;
    } rooms[8]; /* to unmap */
    unsigned room_count;
};

struct plan_options {
    unsigned percent; /* how much of the trace, 1 to 100 */
    uint64_t points;  /* of the curve, at most */
    double drift;     /* a share, above 0, of the bytes alive, or of PLAN_FLOOR of their
                         peak if that is more; 0: any */
};
#define PLAN_FLOOR (1.0 / 16)

bool plan_build(struct plan *plan, const struct trace *trace, const struct plan_options *options,
                struct trace_error *error);
void plan_free(struct plan *plan);

#endif

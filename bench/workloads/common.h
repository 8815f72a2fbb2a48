/* bench/workloads/common.h - what every workload is made of
 *
 * A run is one workload with so many threads; each thread has a worker.  The
 * work is a fixed count of operations, the same for every allocator.  Workers
 * claim it in chunks, so that how many operations each did tells how fairly it
 * was treated, and take their random numbers from the chunk's place in the
 * work, so that the sizes don't depend on who does it.
 *
 * All memory of the harness comes from mmap (area), never from malloc: the
 * allocator's footprint is of its own making.  A block is written at both ends
 * with a tag made of its address and size, which is checked before the block
 * is freed and then wiped: a block that was handed out twice, overlaps another
 * or was overwritten ends the program with status 1.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "histogram.h"
#include "ticks.h"

#define KIB         1024
#define MIB         (1024 * 1024)
#define CACHE_LINE  64
#define MOST_METRICS 32
#define MOST_POINTS 100 /* of a series */

struct run;
struct worker;

struct workload {
    const char *name, *group;
    const char *threads;  /* default counts, with commas */
    bool quick;           /* part of the quick matrix */
    uint64_t operations;  /* for each core in use, at scale 100 */
    void (*run)(struct run *run);
    long argument;        /* what run makes of it: a size, a share ... */
    const char *unit, *about;
};

struct metric {
    const char *name;
    double value;
};

struct point {
    double seconds;  /* since the loop began */
    double resident; /* bytes */
    double live;     /* bytes */
};

struct worker {
    struct run *run;
    unsigned index;              /* 0 to run->threads - 1 */
    uint64_t random;             /* state of the generator, never 0 */
    uint64_t first;              /* number of the first operation of the chunk */
    uint64_t operations;         /* done so far */
    _Atomic int64_t live;        /* bytes taken less bytes given; relaxed, read by the sampler */
    uint64_t end_ns;             /* when the loop ended */
    void *state;                 /* the workload's own */
    bool timed;                  /* in the loop of a run that is */
    struct histogram *malloc_ticks, *free_ticks; /* NULL if the run isn't timed */
    pthread_t thread;
} __attribute__((aligned(CACHE_LINE)));

struct run {
    const struct workload *workload;
    unsigned threads;
    unsigned scale;              /* percent */
    uint64_t work;               /* operations to do in all */
    uint64_t chunk;              /* operations that a worker claims at a time */
    struct worker *workers;      /* one per thread */
    bool timed;                  /* every call in the loop is: group latency, and who says so */
    bool touches_all;            /* every page of a block is written, by workloads that heed it */
    void *shared;                /* the workload's own */
    pthread_barrier_t meeting;   /* of all workers */
    /* results */
    uint64_t operations;         /* 0: the sum of the workers' */
    double seconds;              /* of the loop, less idle_seconds */
    double idle_seconds;         /* in the loop, but not of its time: slept on purpose, or measured */
    double ticks_per_ns;
    size_t baseline_bytes;       /* resident before the loop's threads existed */
    size_t final_bytes;          /* resident when all was freed */
    size_t peak_bytes;           /* of several processes; 0: of this one, as the kernel counts it */
    unsigned mappings;           /* lines of /proc/self/maps, the most seen; 0: not told */
    size_t settled_bytes;        /* resident when what was freed had its time to go back; 0: not told */
    struct metric metrics[MOST_METRICS];
    unsigned metric_count;
    struct point points[MOST_POINTS];
    unsigned point_count;
    _Alignas(CACHE_LINE) _Atomic uint64_t next; /* first operation that nobody claimed */
};

/* What a worker does; NULL for nothing.  Only loop is timed: all workers enter
 * it together, and when all have left it, they tear down. */
struct stages {
    void (*set_up)(struct worker *worker);
    void (*loop)(struct worker *worker);
    void (*tear_down)(struct worker *worker);
};

/* Runs the stages on run->threads threads; a single one is the main thread.
 * Fills the results. */
void run_stages(struct run *run, const struct stages *stages);

/* Sleeps in the loop, all workers together; doesn't count as time of the loop. */
void idle(struct worker *worker, double seconds);
void sleep_seconds(double seconds);

/* Returns when all workers have come here. */
void meet(struct worker *worker);

void add_metric(struct run *run, const char *name, double value);

/* Zeroed memory of the harness, of whole pages, never given back. */
void *area(size_t bytes);
size_t area_bytes(void); /* handed out so far */

size_t resident_bytes(void);
int64_t live_bytes(const struct run *run);

/* A quantity at the run's scale, at least 1. */
uint64_t scaled(const struct run *run, uint64_t quantity);

/* A thread with a small stack, and its end; both end the program on failure. */
void start_thread(pthread_t *thread, void *(*function)(void *), void *argument);
void join_thread(pthread_t thread);

/* Prints printf's arguments and ends the program with status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail_memory(size_t bytes);
_Noreturn void fail_block(const void *block, size_t bytes);

/* ---- Random numbers: xorshift64*, deterministic ----------------------------- */

static inline uint32_t random_number(struct worker *worker)
{
    uint64_t x = worker->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random = x;
    return (uint32_t)((x * UINT64_C(0x2545F4914F6CDD1D)) >> 32);
}

/* 0 to bound - 1; bound at most 2^32 - 1. */
static inline uint32_t random_below(struct worker *worker, uint32_t bound)
{
    return (uint32_t)(((uint64_t)random_number(worker) * bound) >> 32);
}

/* least to most */
static inline size_t random_between(struct worker *worker, size_t least, size_t most)
{
    return least + random_below(worker, (uint32_t)(most - least + 1));
}

static inline void random_seed(struct worker *worker, uint64_t seed)
{
    worker->random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

/* ---- Work ------------------------------------------------------------------ */

/* How many operations to do now, from number worker->first on; 0: all is done. */
static inline uint64_t claim(struct worker *worker)
{
    struct run *run = worker->run;
    uint64_t first = atomic_fetch_add_explicit(&run->next, run->chunk, memory_order_relaxed);
    uint64_t count = first >= run->work ? 0 : run->work - first;

    if (count > run->chunk)
        count = run->chunk;
    worker->first = first;
    worker->operations += count;
    random_seed(worker, first);
    return count;
}

/* ---- Blocks ---------------------------------------------------------------- */

/* The compiler can't know what becomes of the block, so it can't drop it. */
static inline void *hide(void *block)
{
    __asm__ volatile("" : "+r"(block));
    return block;
}

/* Never 0. */
static inline unsigned char tag_of(const void *block, size_t size)
{
    return (unsigned char)(((uintptr_t)block >> 4) * 0x9D + size) | 1;
}

static inline void *mark(void *block, size_t size)
{
    unsigned char *bytes = hide(block);

    if (__builtin_expect(!bytes, 0))
        fail_memory(size);
    bytes[0] = bytes[size - 1] = tag_of(block, size);
    return block;
}

static inline void check(void *block, size_t size)
{
    unsigned char *bytes = block, tag = tag_of(block, size);

    if (__builtin_expect(bytes[0] != tag || bytes[size - 1] != tag, 0))
        fail_block(block, size);
    bytes[0] = 0;
    hide(block);
}

/* A block whose size the caller remembers. */
static inline void *take(size_t size)
{
    return mark(malloc(size), size);
}

static inline void give(void *block, size_t size)
{
    check(block, size);
    free(block);
}

/* A block that remembers its size, of LEAST_SIZED to MOST_SIZED bytes. */
#define LEAST_SIZED 16
#define MOST_SIZED  (64 * MIB)

struct sized {
    uint32_t size;
    unsigned char tag;
};

static inline void *mark_sized(void *block, size_t size)
{
    struct sized *sized = hide(block);

    if (__builtin_expect(!sized, 0))
        fail_memory(size);
    sized->size = (uint32_t)size;
    sized->tag = ((unsigned char *)block)[size - 1] = tag_of(block, size);
    return block;
}

static inline size_t check_sized(void *block)
{
    struct sized *sized = block;
    size_t size = sized->size;
    unsigned char tag = tag_of(block, size);

    if (__builtin_expect(size < LEAST_SIZED || size > MOST_SIZED || sized->tag != tag ||
                             ((unsigned char *)block)[size - 1] != tag, 0))
        fail_block(block, size);
    sized->tag = 0;
    hide(block);
    return size;
}

static inline void *take_sized(size_t size)
{
    return mark_sized(malloc(size), size);
}

static inline void give_sized(void *block)
{
    check_sized(block);
    free(block);
}

/* The same by calloc, whose memory must be zero; looked at and dirtied in three places. */
void *take_zeroed(size_t size);

/* take_sized and give_sized, the call timed into the worker's histograms. */
void *take_with_clock(struct worker *worker, size_t size);
void give_with_clock(struct worker *worker, void *block);

/* The same, timed in the loop of a timed run: so that a pattern serves
 * throughput, where it costs a branch, and latency. */
static inline void *take_timed(struct worker *worker, size_t size)
{
    return __builtin_expect(worker->timed, 0) ? take_with_clock(worker, size) : take_sized(size);
}

static inline void give_timed(struct worker *worker, void *block)
{
    if (__builtin_expect(worker->timed, 0))
        give_with_clock(worker, block);
    else
        give_sized(block);
}

/* The same with the worker's live bytes kept up. */
static inline void add_live(struct worker *worker, int64_t bytes)
{
    int64_t live = atomic_load_explicit(&worker->live, memory_order_relaxed);

    atomic_store_explicit(&worker->live, live + bytes, memory_order_relaxed);
}

static inline void *take_live(struct worker *worker, size_t size)
{
    add_live(worker, (int64_t)size);
    return take_sized(size);
}

static inline void give_live(struct worker *worker, void *block)
{
    add_live(worker, -(int64_t)check_sized(block));
    free(block);
}

#endif

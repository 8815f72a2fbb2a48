/* bench/workloads/held.h - blocks that a worker holds, and how much memory they cost
 *
 * For workloads whose figure is resident memory: they keep count of their live
 * bytes, and the sampler notes them beside the resident ones.  The scale changes
 * how many bytes are held.  Bytes are shared out among the threads.
 */
#ifndef BENCH_HELD_H
#define BENCH_HELD_H

#include "common.h"
#include "sampler.h"

/* Blocks that the worker holds, as a stack. */
struct heap {
    uint64_t count, room;
    void **blocks;
};

static inline uint64_t own_share(const struct worker *worker, uint64_t bytes)
{
    return scaled(worker->run, bytes) / worker->run->threads;
}

static inline int64_t own_live(const struct worker *worker)
{
    return atomic_load_explicit(&worker->live, memory_order_relaxed);
}

static inline struct heap *make_heap(struct worker *worker, uint64_t room)
{
    struct heap *heap = worker->state = area(sizeof *heap);

    heap->room = room;
    heap->blocks = area(room * sizeof *heap->blocks);
    return heap;
}

/* Writes to each page of the block but those of its ends, which have the marks. */
static inline void touch_pages(void *block, size_t size)
{
    const size_t page = 4096; /* the least there is */
    size_t first = page - (uintptr_t)block % page;

    for (size_t at = first; at + 1 < size; at += page)
        ((unsigned char *)block)[at] = 1;
}

static inline void *take_held(struct worker *worker, size_t size)
{
    void *block = take_live(worker, size);

    if (worker->run->touches_all)
        touch_pages(block, size);
    return block;
}

static inline void push(struct worker *worker, size_t size)
{
    struct heap *heap = worker->state;

    if (heap->count == heap->room)
        fail("%s: more than %llu blocks", worker->run->workload->name,
             (unsigned long long)heap->room);
    heap->blocks[heap->count++] = take_held(worker, size);
    worker->operations++;
}

static inline void remove_at(struct worker *worker, uint64_t at)
{
    struct heap *heap = worker->state;

    give_live(worker, heap->blocks[at]);
    heap->blocks[at] = heap->blocks[--heap->count];
}

static inline void remove_random(struct worker *worker)
{
    struct heap *heap = worker->state;

    remove_at(worker, random_below(worker, (uint32_t)heap->count));
}

/* Takes blocks of such sizes until so many bytes are alive. */
static inline void push_until(struct worker *worker, uint64_t bytes, size_t least, size_t most)
{
    while (own_live(worker) < (int64_t)bytes)
        push(worker, random_between(worker, least, most));
}

/* Frees a random 90 %. */
static inline void remove_most(struct worker *worker)
{
    struct heap *heap = worker->state;

    for (uint64_t keep = heap->count / 10; heap->count > keep;)
        remove_random(worker);
}

/* Oldest first. */
static inline void free_all(struct worker *worker)
{
    struct heap *heap = worker->state;

    for (uint64_t i = 0; i < heap->count; i++)
        give_live(worker, heap->blocks[i]);
    heap->count = 0;
}

/* The resident and live bytes at a telling moment become metrics.  By one
 * worker, when the others rest. */
void note_held(struct worker *worker);

/* The same: what has been freed had its time to go back. */
void note_settled(struct worker *worker);

/* Counts the process's mappings now, at a peak; the most of several counts becomes
 * a metric.  By all workers together; it takes no time of the loop. */
void note_mappings(struct worker *worker);

/* With memory over time in the results. */
void run_sampled(struct run *run, const struct stages *stages);

/* The same; then the program, whose threads have ended, is idle and settles. */
void run_then_idle(struct run *run, const struct stages *stages, double seconds);

#endif

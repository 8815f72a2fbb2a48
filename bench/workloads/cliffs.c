/* bench/workloads/cliffs.c - where an allocator may cost many times what it does else
 *
 * Each workload leans on something that an allocator may have run out of, or
 * never have had: freed memory that serves other sizes, mappings, memory that is
 * zero anyway, the tail that a realloc leaves, a list of one's own for larger
 * blocks.  Then there are ten times the page faults, mappings or nanoseconds, so
 * these are figures beside time and peak memory.
 *
 * A workload of one thread starts no other.  The scale changes how many bytes or
 * blocks are alive, or else how many operations there are.
 */
#include "table.h"

#include <math.h>

#include "held.h"

/* ---- Sizes ------------------------------------------------------------------------------ */

static const struct {
    size_t least, most; /* bytes */
} sizes[] = {
    [CLIFF_SMALL] = { 16, KIB },
    [CLIFF_LARGE] = { 64 * KIB, 2 * MIB },
    [CLIFF_MIXED] = { 16, 2 * MIB },
    [CLIFF_MIDDLE] = { 100 * KIB, 2 * MIB },
    [CLIFF_HUGE] = { 5000000, 25000000 },
    [CLIFF_WIDE] = { 16, MOST_SIZED },
};

#define LARGE_EVERY 2000 /* mixed blocks: so half of the bytes are large blocks' */

static enum cliff_sizes sizes_of(const struct worker *worker)
{
    return (enum cliff_sizes)worker->run->workload->argument;
}

/* As many between a size and its double for each size. */
static size_t wide_size(struct worker *worker, size_t least, size_t most)
{
    double share = random_number(worker) / 4294967296.0;

    return (size_t)((double)least * pow((double)most / (double)least, share));
}

static size_t some_size(struct worker *worker)
{
    enum cliff_sizes kind = sizes_of(worker);

    if (kind == CLIFF_WIDE)
        return wide_size(worker, sizes[kind].least, sizes[kind].most);
    if (kind == CLIFF_MIXED)
        kind = random_below(worker, LARGE_EVERY) ? CLIFF_SMALL : CLIFF_LARGE;
    return random_between(worker, sizes[kind].least, sizes[kind].most);
}

/* For so many bytes of blocks of those sizes. */
static void make_heap_for(struct worker *worker, uint64_t bytes)
{
    make_heap(worker, own_share(worker, bytes) / sizes[sizes_of(worker)].least + 1000);
}

/* ---- A working set, again and again ----------------------------------------------------- */

#define BURST_BYTES   (64 * MIB)
#define BURSTS        15
#define LATER         2   /* bursts that come before those that are taken together */
#define PAUSE_SECONDS 0.1 /* less than TIDEPOOL_DECAY_MS is by default */

static void set_up_bursts(struct worker *worker)
{
    make_heap_for(worker, BURST_BYTES);
}

/* Takes all and frees all; returns the seconds of it. */
static double burst(struct worker *worker)
{
    uint64_t start = now_ns(), took;

    while (own_live(worker) < (int64_t)own_share(worker, BURST_BYTES))
        push(worker, some_size(worker));
    took = now_ns() - start;
    note_mappings(worker);
    start = now_ns();
    free_all(worker);
    return (double)(took + now_ns() - start) / 1e9;
}

static void bursts(struct worker *worker)
{
    double first = 0, later = 0, worst = 0;

    for (unsigned i = 0; i < BURSTS; i++) {
        double seconds = burst(worker);

        if (i == 0)
            first = seconds;
        if (i >= LATER) {
            later += seconds / (BURSTS - LATER);
            worst = seconds > worst ? seconds : worst;
        }
        idle(worker, PAUSE_SECONDS);
    }
    if (worker->index > 0)
        return;
    add_metric(worker->run, "first_burst_ms", first * 1e3);
    add_metric(worker->run, "later_burst_ms", later * 1e3);
    add_metric(worker->run, "worst_later_burst_ms", worst * 1e3);
}

void run_cliff_bursts(struct run *run)
{
    run->touches_all = true;
    run_stages(run, &(struct stages){ set_up_bursts, bursts, NULL });
}

/* ---- Thousands of huge blocks ----------------------------------------------------------- */

#define MANY_LEAST  2200000 /* bytes, of which both ends are written */
#define MANY_MOST   3000000
#define MANY_ROUNDS 3

/* The argument is how many are alive. */
static uint64_t many_count(const struct worker *worker)
{
    return scaled(worker->run, (uint64_t)worker->run->workload->argument);
}

static void set_up_many(struct worker *worker)
{
    make_heap(worker, many_count(worker));
}

static void many(struct worker *worker)
{
    struct heap *heap = worker->state;

    for (unsigned round = 0; round < MANY_ROUNDS; round++) {
        while (heap->count < heap->room)
            push(worker, random_between(worker, MANY_LEAST, MANY_MOST));
        note_mappings(worker);
        while (heap->count)
            remove_random(worker);
    }
}

void run_many_huge(struct run *run)
{
    run_stages(run, &(struct stages){ set_up_many, many, NULL });
}

/* ---- calloc of huge blocks -------------------------------------------------------------- */

#define CALLOCS 8 /* alive */

static void set_up_callocs(struct worker *worker)
{
    make_heap(worker, CALLOCS);
}

/* The argument is the bytes that a block has at least; it has four times as many at most. */
static void replace_zeroed(struct worker *worker)
{
    struct heap *heap = worker->state;
    size_t least = (size_t)worker->run->workload->argument;
    size_t size = random_between(worker, least, 4 * least);

    if (worker->run->touches_all) { /* memory that isn't zero is there to be taken */
        void *block = take_sized(size);

        touch_pages(block, size);
        give_sized(block);
    }
    if (heap->count == heap->room)
        remove_random(worker);
    add_live(worker, (int64_t)size);
    heap->blocks[heap->count++] = take_zeroed(size);
}

static void callocs(struct worker *worker)
{
    for (uint64_t n; (n = claim(worker));)
        while (n--)
            replace_zeroed(worker);
    note_mappings(worker);
    free_all(worker);
}

void run_huge_calloc(struct run *run)
{
    run_stages(run, &(struct stages){ set_up_callocs, callocs, NULL });
}

void run_huge_calloc_dirty(struct run *run)
{
    run->touches_all = true;
    run_huge_calloc(run);
}

/* ---- Large blocks replace each other ---------------------------------------------------- */

#define REPLACED_BYTES (512 * MIB) /* alive */
#define REPLACED_TIMES 8           /* so many bytes are taken in all */

static void set_up_replace(struct worker *worker)
{
    make_heap_for(worker, REPLACED_BYTES);
}

static void replace(struct worker *worker)
{
    const int64_t alive = (int64_t)own_share(worker, REPLACED_BYTES);
    struct heap *heap = worker->state;

    for (int64_t taken = 0; taken < REPLACED_TIMES * alive;) {
        size_t size = some_size(worker);

        while (heap->count && own_live(worker) + (int64_t)size > alive)
            remove_random(worker);
        push(worker, size);
        taken += (int64_t)size;
    }
    note_mappings(worker);
    free_all(worker);
}

void run_replace_large(struct run *run)
{
    run->touches_all = true;
    run_stages(run, &(struct stages){ set_up_replace, replace, NULL });
}

/* ---- Blocks of any size, now many, now few ---------------------------------------------- */

#define WIDE_LEAST_BYTES (100 * MIB) /* alive when there are few */
#define WIDE_MOST_BYTES  ((uint64_t)2048 * MIB)
#define WIDE_CYCLES      2
#define WIDE_ROOM        100000 /* blocks: a few hundred make up the bytes */

static void set_up_wide(struct worker *worker)
{
    make_heap(worker, WIDE_ROOM);
}

/* Takes and frees until so many bytes are alive: of three steps two go there. */
static void drift_to(struct worker *worker, uint64_t bytes)
{
    const int64_t wanted = (int64_t)own_share(worker, bytes);
    const bool grows = own_live(worker) < wanted;
    struct heap *heap = worker->state;

    while (grows ? own_live(worker) < wanted : own_live(worker) > wanted)
        if ((random_below(worker, 3) != 0) == grows)
            push(worker, some_size(worker));
        else if (heap->count)
            remove_random(worker);
}

static void wide(struct worker *worker)
{
    for (unsigned i = 0; i < WIDE_CYCLES; i++) {
        drift_to(worker, WIDE_MOST_BYTES);
        note_mappings(worker);
        drift_to(worker, WIDE_LEAST_BYTES);
    }
    free_all(worker);
}

void run_wide(struct run *run)
{
    run->touches_all = true;
    run_stages(run, &(struct stages){ set_up_wide, wide, NULL });
}

/* ---- realloc makes blocks smaller ------------------------------------------------------- */

#define SHRUNK         500 /* blocks */
#define SHRINK_LEAST   MIB /* bytes before */
#define SHRINK_MOST    (3 * MIB)
#define LEFT_LEAST     (32 * KIB) /* ... and after */
#define LEFT_MOST      (96 * KIB)
#define SETTLE_SECONDS 2.0

static void set_up_shrink(struct worker *worker)
{
    make_heap(worker, scaled(worker->run, SHRUNK));
}

static void shrink(struct worker *worker, void **block)
{
    size_t from = check_sized(*block), to = random_between(worker, LEFT_LEAST, LEFT_MOST);
    struct sized *left = hide(realloc(*block, to));

    if (!left)
        fail_memory(to);
    if (left->size != from)
        fail("realloc from %zu to %zu bytes lost what the block held", from, to);
    add_live(worker, (int64_t)to - (int64_t)from);
    *block = mark_sized(left, to);
}

/* The argument is 1 if each is made smaller at once, 0 if all are taken first. */
static void shrinks(struct worker *worker)
{
    struct heap *heap = worker->state;
    bool at_once = worker->run->workload->argument;

    while (heap->count < heap->room) {
        push(worker, random_between(worker, SHRINK_LEAST, SHRINK_MOST));
        if (at_once)
            shrink(worker, &heap->blocks[heap->count - 1]);
    }
    note_mappings(worker);
    for (uint64_t i = 0; i < heap->count && !at_once; i++)
        shrink(worker, &heap->blocks[i]);
    note_mappings(worker);
    note_held(worker);
    idle(worker, SETTLE_SECONDS);
    note_settled(worker);
    free_all(worker);
}

void run_shrink(struct run *run)
{
    run->touches_all = true;
    run_stages(run, &(struct stages){ set_up_shrink, shrinks, NULL });
}

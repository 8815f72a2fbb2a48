/* bench/workloads/footprint.c - how much memory the blocks cost over time
 *
 * Every workload keeps count of its live bytes, and the sampler notes them
 * beside the resident ones.  The scale changes how many bytes are held, not
 * how long the idle spells are.  At a telling moment ("held") the resident and
 * live bytes become metrics.  Bytes are shared out among the threads.
 */
#include "table.h"

#include "held.h"

/* ---- The size mix shifts ---------------------------------------------------------------- */

#define PHASE_BYTES (64 * MIB)
#define PHASE_LEAST 64 /* bytes of the smallest block */

static const struct { size_t least, most; } phases[] = {
    { 64, 256 }, { 512, 2048 }, { 64, 128 }, { 4096, 16384 }, { 100, 1000 }, { 2000, 6000 },
};

static void set_up_phases(struct worker *worker)
{
    make_heap(worker, own_share(worker, PHASE_BYTES) / PHASE_LEAST + 1000);
}

/* As many bytes in every phase; the old mix gives way bit by bit, at random. */
static void shift(struct worker *worker)
{
    int64_t wanted = (int64_t)own_share(worker, PHASE_BYTES);
    struct heap *heap = worker->state;

    for (unsigned phase = 0; phase < sizeof phases / sizeof *phases; phase++) {
        int64_t taken = 0;

        meet(worker);
        while (taken < 2 * wanted) { /* twice over: few of the old ones are left */
            size_t size = random_between(worker, phases[phase].least, phases[phase].most);

            while (heap->count && own_live(worker) + (int64_t)size > wanted)
                remove_random(worker);
            push(worker, size);
            taken += (int64_t)size;
        }
    }
    note_held(worker);
    free_all(worker);
}

void run_phases(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_phases, shift, NULL });
}

/* ---- Bursts, then idle ------------------------------------------------------------------- */

#define BURST_BYTES   (64 * MIB)
#define BURSTS        6
#define IDLE_SECONDS  0.3
#define SURVIVORS     100 /* one of so many blocks stays */

static void set_up_bursts(struct worker *worker)
{
    make_heap(worker, own_share(worker, BURST_BYTES) / 16 + 1000);
}

/* Three of four blocks are small. */
static size_t burst_size(struct worker *worker)
{
    return random_below(worker, 4) ? random_between(worker, 16, 256)
                                   : random_between(worker, 256, 8192);
}

static void burst(struct worker *worker)
{
    struct heap *heap = worker->state;
    int64_t wanted = own_live(worker) + (int64_t)own_share(worker, BURST_BYTES);
    uint64_t begin = heap->count;

    while (own_live(worker) < wanted)
        push(worker, burst_size(worker));
    for (uint64_t i = heap->count; i-- > begin;)
        if (random_below(worker, SURVIVORS))
            remove_at(worker, i);
}

static void bursts(struct worker *worker)
{
    for (unsigned i = 0; i < BURSTS; i++) {
        burst(worker);
        idle(worker, IDLE_SECONDS);
    }
    note_held(worker);
    free_all(worker);
}

void run_bursts(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_bursts, bursts, NULL });
}

/* ---- Long-lived among short-lived blocks --------------------------------------------------- */

#define WAVE_BYTES (64 * MIB)
#define WAVES      8
#define LONG_EVERY 50 /* blocks */

static void set_up_waves(struct worker *worker)
{
    make_heap(worker, own_share(worker, WAVE_BYTES) / 16 + 10000);
}

/* A wave of blocks, of which one in LONG_EVERY outlives it; each wave's blocks
 * are twice as large as those of the one before. */
static void wave(struct worker *worker, unsigned number)
{
    struct heap *heap = worker->state;
    size_t least = (size_t)16 << (number % 4);
    int64_t wanted = own_live(worker) + (int64_t)own_share(worker, WAVE_BYTES);
    uint64_t begin = heap->count, stay = begin;

    while (own_live(worker) < wanted)
        push(worker, random_between(worker, least, 8 * least));
    for (uint64_t i = begin; i < heap->count; i++)
        if (i % LONG_EVERY == 0)
            heap->blocks[stay++] = heap->blocks[i];
        else
            give_live(worker, heap->blocks[i]);
    heap->count = stay;
}

static void waves(struct worker *worker)
{
    for (unsigned i = 0; i < WAVES; i++) {
        meet(worker);
        wave(worker, i);
    }
    idle(worker, IDLE_SECONDS);
    note_held(worker);
    free_all(worker);
}

void run_long_lived(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_waves, waves, NULL });
}

/* ---- Much is freed, sparsely or all ------------------------------------------------------ */

#define MUCH_BYTES    (256 * MIB)
#define MUCH_LEAST    16
#define MUCH_MOST     1024
#define SPARSE_IDLE   1.0 /* seconds */
#define ALL_FREE_IDLE 2.0

static void set_up_much(struct worker *worker)
{
    make_heap(worker, own_share(worker, MUCH_BYTES) / 256 + 1000); /* blocks are twice as large */
}

static void allocate_much(struct worker *worker)
{
    push_until(worker, own_share(worker, MUCH_BYTES), MUCH_LEAST, MUCH_MOST);
}

static void sparse(struct worker *worker)
{
    allocate_much(worker);
    remove_most(worker);
    idle(worker, SPARSE_IDLE);
    note_held(worker);
    note_settled(worker);
    free_all(worker);
}

void run_sparse(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_much, sparse, NULL });
}

static void much(struct worker *worker)
{
    allocate_much(worker);
    note_held(worker);
    free_all(worker);
}

/* The threads end, and then the program is idle. */
void run_free_all(struct run *run)
{
    run_then_idle(run, &(struct stages){ set_up_much, much, NULL }, ALL_FREE_IDLE);
}

/* ---- Mostly idle threads ---------------------------------------------------------------- */

#define FEW_BLOCKS 40

static void set_up_few(struct worker *worker)
{
    worker->state = area(sizeof(struct heap));
}

/* Allocates a little, frees half of it and sleeps while all the others do. */
static void sleepy(struct worker *worker)
{
    void *kept[FEW_BLOCKS];

    for (unsigned i = 0; i < FEW_BLOCKS; i++)
        kept[i] = take_live(worker, random_between(worker, 16, 512));
    for (unsigned i = 0; i < FEW_BLOCKS; i += 2)
        give_live(worker, kept[i]);
    worker->operations = 1;
    idle(worker, 0.5);
    note_held(worker);
    for (unsigned i = 1; i < FEW_BLOCKS; i += 2)
        give_live(worker, kept[i]);
}

void run_idle_threads(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_few, sleepy, NULL });
}

/* bench/workloads/latency.c - how long each single malloc and free takes
 *
 * Every call is timed into the worker's histograms.  The two readings of the
 * clock cost time themselves: measured here, reported as timer_ns and not
 * taken off.  Producers and consumers are in exchange.c.
 */
#include "table.h"

#define SLOTS 1000

static void fill(struct worker *worker)
{
    void **slots = worker->state = area(SLOTS * sizeof *slots);

    for (uint32_t i = 0; i < SLOTS; i++)
        slots[i] = take_sized(random_between(worker, 16, 1024));
}

/* Small blocks; where the argument is 1, one in 256 large and one in 16384 huge. */
static size_t random_size(struct worker *worker)
{
    if (worker->run->workload->argument) {
        uint32_t dice = random_below(worker, 16384);

        if (dice == 0)
            return random_between(worker, 2 * MIB, 8 * MIB);
        if (dice <= 64)
            return random_between(worker, 32 * KIB, MIB);
    }
    return random_between(worker, 16, 1024);
}

static void replace(struct worker *worker)
{
    void **slots = worker->state;

    for (uint64_t n; (n = claim(worker));)
        while (n--) {
            void **slot = &slots[random_below(worker, SLOTS)];

            give_timed(worker, *slot);
            *slot = take_timed(worker, random_size(worker));
        }
}

static void empty(struct worker *worker)
{
    void **slots = worker->state;

    for (uint32_t i = 0; i < SLOTS; i++)
        give_sized(slots[i]);
}

static const struct stages independent = { fill, replace, empty };

void run_latency(struct run *run)
{
    run->timed = true;
    run_stages(run, &independent);
}

/* ---- While memory goes back ---------------------------------------------------------------- */

/* One more thread holds HELD bytes of blocks and frees them in SLICES, each
 * when the others have done that part of their work. */
#define HELD   (256 * MIB)
#define SLICES 16

struct holder {
    struct run *run;
    uint64_t count;
    void **blocks;
    pthread_barrier_t filled;
};

static void hold(struct holder *holder)
{
    struct worker self;
    uint64_t bytes = scaled(holder->run, HELD);

    random_seed(&self, 12345);
    holder->blocks = area(bytes / 64 * sizeof *holder->blocks);
    while (bytes > 4096) {
        size_t size = random_between(&self, 64, 4096);

        holder->blocks[holder->count++] = take_sized(size);
        bytes -= size;
    }
    pthread_barrier_wait(&holder->filled);
}

static void *hold_and_return(void *argument)
{
    struct holder *holder = argument;
    struct run *run = holder->run;
    uint64_t freed = 0;

    hold(holder);
    for (uint64_t slice = 1; slice <= SLICES; slice++) {
        uint64_t begin = run->work * slice / (SLICES + 1);

        while (atomic_load_explicit(&run->next, memory_order_relaxed) < begin)
            sleep_seconds(0.0002);
        for (; freed < holder->count * slice / SLICES; freed++)
            give_sized(holder->blocks[freed]);
    }
    return NULL;
}

void run_latency_return(struct run *run)
{
    struct holder *holder = area(sizeof *holder);
    pthread_t thread;

    holder->run = run;
    pthread_barrier_init(&holder->filled, NULL, 2);
    start_thread(&thread, hold_and_return, holder);
    pthread_barrier_wait(&holder->filled);
    run->timed = true;
    run_stages(run, &independent);
    join_thread(thread);
    run->final_bytes = resident_bytes();
}

/* bench/workloads/latency.c - how long single calls take while memory goes back
 *
 * Independent threads replace their own blocks (contention.c).  One more thread
 * holds HELD bytes of blocks and frees them in SLICES, each when the others
 * have done that part of their work.  Only the others' calls are timed.
 */
#include "table.h"

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
    run_independent(run);
    join_thread(thread);
    run->final_bytes = resident_bytes();
}

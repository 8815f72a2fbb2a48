/* bench/workloads/return.c - how much memory goes back, and what that costs others
 *
 * MUCH bytes of small blocks are taken by GIVERS threads and freed.  The figure
 * is what is resident afterwards (settled_bytes), by the peak: when the threads
 * have been idle, when only some blocks were freed, after malloc_trim, when the
 * threads have ended, after a long time of drifting demand (churn.c); and what
 * calls of other threads take meanwhile.
 */
#include "table.h"

#include <dlfcn.h>

#include "churn.h"
#include "held.h"

#define MUCH   ((uint64_t)1024 * MIB)
#define LEAST  16   /* bytes of a block */
#define MOST   2048
#define IDLE   2.0  /* seconds */

/* ---- All threads take and free ------------------------------------------------------ */

static void set_up(struct worker *worker)
{
    make_heap(worker, own_share(worker, MUCH) / 512 + 1000); /* blocks are twice as large */
}

static void fill(struct worker *worker)
{
    push_until(worker, own_share(worker, MUCH), LEAST, MOST);
    meet(worker); /* the peak is that of all */
}

static void all(struct worker *worker)
{
    fill(worker);
    free_all(worker);
    idle(worker, IDLE);
    note_settled(worker);
}

void run_return_all(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up, all, NULL });
}

static void sparse(struct worker *worker)
{
    fill(worker);
    remove_most(worker);
    idle(worker, IDLE);
    note_held(worker);
    note_settled(worker);
    free_all(worker);
}

void run_return_sparse(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up, sparse, NULL });
}

static void fill_and_free(struct worker *worker)
{
    fill(worker);
    free_all(worker);
}

void run_return_exits(struct run *run)
{
    run_then_idle(run, &(struct stages){ set_up, fill_and_free, NULL }, IDLE);
}

/* ---- The demand drifts ------------------------------------------------------------------ */

static void churn_and_rest(struct worker *worker)
{
    churn(worker);
    idle(worker, IDLE);
    note_held(worker);
    note_settled(worker);
}

void run_return_churn(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up_churn, churn_and_rest, NULL });
}

/* ---- malloc_trim ------------------------------------------------------------------------ */

/* That of the library that malloc is from; NULL if it has none.  The C library's
 * is there in any case, and would trim a heap that nobody uses. */
static int (*find_trim(void))(size_t keep)
{
    void *take = dlsym(RTLD_DEFAULT, "malloc"), *trim = dlsym(RTLD_DEFAULT, "malloc_trim");
    Dl_info of_take, of_trim;

    if (!take || !trim || !dladdr(take, &of_take) || !dladdr(trim, &of_trim) ||
        of_take.dli_fbase != of_trim.dli_fbase)
        return NULL;
    return (int (*)(size_t))(uintptr_t)trim;
}

/* By one worker, when the others rest. */
static void trim(struct worker *worker)
{
    int (*call)(size_t) = find_trim();
    uint64_t before = now_ns();

    if (call)
        call(0);
    add_metric(worker->run, "has_malloc_trim", call != NULL);
    add_metric(worker->run, "trim_seconds", (double)(now_ns() - before) / 1e9);
}

static void free_and_trim(struct worker *worker)
{
    fill_and_free(worker);
    meet(worker);
    if (worker->index == 0)
        trim(worker);
    note_settled(worker);
}

void run_return_trim(struct run *run)
{
    run_sampled(run, &(struct stages){ set_up, free_and_trim, NULL });
}

/* ---- What others' calls take meanwhile ------------------------------------------------------ */

#define GIVERS    8
#define OWN_SLOTS 1000  /* blocks of a timed thread */
#define OWN_MOST  1024  /* bytes of one */
#define GRAIN     1000  /* operations between looks at the clock */

/* Threads that hold MUCH together, free it when told, and stay. */
struct giver {
    struct run crew;       /* poses as a run of GIVERS threads, for their shares */
    struct worker *workers;
    pthread_barrier_t gate; /* the givers and the main thread: filled, and may end */
    _Atomic bool is_told;
    _Atomic unsigned busy;  /* that still free */
    _Atomic uint64_t end_ns; /* of the timed calls; UINT64_MAX until all is freed */
};

static struct giver giver;

static void *hold_and_free(void *argument)
{
    struct worker *worker = argument;

    random_seed(worker, 12345 + worker->index);
    set_up(worker);
    push_until(worker, own_share(worker, MUCH), LEAST, MOST);
    pthread_barrier_wait(&giver.gate);
    while (!atomic_load(&giver.is_told))
        sleep_seconds(0.001);
    free_all(worker);
    if (atomic_fetch_sub(&giver.busy, 1) == 1)
        atomic_store(&giver.end_ns, now_ns() + (uint64_t)(IDLE * 1e9));
    pthread_barrier_wait(&giver.gate);
    return NULL;
}

static void start_givers(const struct run *run)
{
    giver.crew = (struct run){ .workload = run->workload, .threads = GIVERS, .scale = run->scale };
    giver.workers = area(GIVERS * sizeof *giver.workers);
    giver.busy = GIVERS;
    giver.end_ns = UINT64_MAX;
    pthread_barrier_init(&giver.gate, NULL, GIVERS + 1);
    for (unsigned i = 0; i < GIVERS; i++) {
        giver.workers[i].run = &giver.crew;
        giver.workers[i].index = i;
        start_thread(&giver.workers[i].thread, hold_and_free, &giver.workers[i]);
    }
    pthread_barrier_wait(&giver.gate);
}

static void end_givers(void)
{
    pthread_barrier_wait(&giver.gate);
    for (unsigned i = 0; i < GIVERS; i++)
        join_thread(giver.workers[i].thread);
}

static void take_own(struct worker *worker)
{
    void **slots = worker->state = area(OWN_SLOTS * sizeof *slots);

    for (uint32_t i = 0; i < OWN_SLOTS; i++)
        slots[i] = take_sized(random_between(worker, LEAST, OWN_MOST));
}

/* As long as memory may be going back, so not as many for every allocator. */
static void replace_own(struct worker *worker)
{
    void **slots = worker->state;

    atomic_store(&giver.is_told, true);
    while (now_ns() < atomic_load(&giver.end_ns)) {
        for (unsigned n = 0; n < GRAIN; n++) {
            void **slot = &slots[random_below(worker, OWN_SLOTS)];

            give_timed(worker, *slot);
            *slot = take_timed(worker, random_between(worker, LEAST, OWN_MOST));
        }
        worker->operations += GRAIN;
    }
}

static void free_own(struct worker *worker)
{
    void **slots = worker->state;

    for (uint32_t i = 0; i < OWN_SLOTS; i++)
        give_sized(slots[i]);
}

void run_return_latency(struct run *run)
{
    run->timed = true;
    start_givers(run);
    run_stages(run, &(struct stages){ take_own, replace_own, free_own });
    run->settled_bytes = resident_bytes();
    end_givers();
    run->final_bytes = resident_bytes();
}

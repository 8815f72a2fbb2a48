/* walkers.c - walks that overlap without end, and one that stays, while arenas
 * come and go
 *
 * usage: walkers [rounds]
 *
 * Two threads walk in a loop, two others allocate and free whole arenas.  In each
 * round one more thread begins a walk and stays in it, reading over and over the
 * header of every arena it met: that kills the program if one is unmapped.
 * Meanwhile allocation goes on and arenas are delisted, and a child is forked,
 * which must be able to unmap them.  In the end all address space comes back:
 * with maintenance while the two go on walking, without it when they have ended.
 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/manager.h"
#include "arena/walk.h"
#include "base/options.h"
#include "common.h"
#include "store/store.h"
#include "tidepool/malloc.h"

enum { WALKERS = 2, CHURNERS = 2, BLOCKS = 8 * TIDE_SLOTS, SMALL_BYTES = 100, MET_MAX = 4096 };

/* A stay is over when so many have come and gone. */
enum { ENOUGH_CHURNS = 4, ENOUGH_RELEASED = 16 };

#define LARGE_BYTES (4 * TIDE_SLOT_BYTES)
#define VM_ALLOWANCE (4 * TIDE_ARENA_BYTES + 16 * MIB) /* glibc keeps stacks */

static atomic_bool is_walking_over, is_churning_over, is_staying, is_stay_over;
static atomic_size_t churns, walks;

/* ---- Reading -------------------------------------------------------------- */

static void read_header(const struct arena *arena)
{
    for (unsigned slot = TIDE_HEADER_SLOTS; slot < TIDE_SLOTS; slot++) {
        const struct pool *pool = (const struct pool *)arena + slot;
        uint8_t state = tide_relaxed(&pool->state);
        REQUIRE(state <= POOL_FULL, "slot %u of arena %p has state %u", slot, (const void *)arena,
                state);
    }
}

static void begin(struct tide_walk *walk)
{
    tide_walk_begin(walk);
    REQUIRE(walk->is_free, "no RCU, though liburcu was loaded");
}

static void *run_walker(void *unused)
{
    while (!atomic_load(&is_walking_over)) {
        struct tide_walk walk;
        const struct arena *arena;
        begin(&walk);
        while ((arena = tide_walk_next(&walk)) != NULL)
            read_header(arena);
        tide_walk_end(&walk);
        if (atomic_fetch_add(&walks, 1) % 64 == 0)
            tide_mallinfo2();
    }
    return unused;
}

static void *run_stayer(void *unused)
{
    static const struct arena *met[MET_MAX];
    struct tide_walk walk;
    size_t count = 0;
    begin(&walk);
    while ((met[count] = tide_walk_next(&walk)) != NULL)
        REQUIRE(++count < MET_MAX, "more than %d arenas", MET_MAX);
    atomic_store(&is_staying, true);
    while (!atomic_load(&is_stay_over))
        for (size_t i = 0; i < count; i++)
            read_header(met[i]);
    tide_walk_end(&walk);
    return unused;
}

/* ---- Allocating -------------------------------------------------------------- */

static void churn(void)
{
    unsigned char *blocks[BLOCKS], *small[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = tide_malloc(TIDE_POOLED_MAX);
        small[i] = tide_malloc(SMALL_BYTES);
        REQUIRE(blocks[i] != NULL && small[i] != NULL, "out of memory");
        blocks[i][0] = small[i][0] = (unsigned char)i;
    }
    for (int i = 0; i < BLOCKS; i++) {
        REQUIRE(blocks[i][0] == i % 256 && small[i][0] == i % 256,
                "block %d was written to by others", i);
        tide_free(blocks[i]);
        tide_free(small[i]);
    }
    atomic_fetch_add(&churns, 1);
}

static void *run_churner(void *unused)
{
    while (!atomic_load(&is_churning_over))
        churn();
    return unused;
}

/* ---- A round -------------------------------------------------------------------- */

static void be_child(void)
{
    test_set_watchdog();
    check_heap();
    churn();
    tide_malloc_trim(0);
    REQUIRE(tide_arena_totals().waiting == 0, "%zu arenas go on waiting in a child",
            tide_arena_totals().waiting);
    check_heap();
    _exit(3);
}

static void fork_and_wait(void)
{
    int status;
    pid_t child = fork();
    REQUIRE(child >= 0, "fork: %s", strerror(errno));
    if (child == 0)
        be_child();
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR, "waitpid: %s", strerror(errno));
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 3, "a child ended with wait status %#x",
            (unsigned)status);
}

/* What is delisted from now on waits, but for what is just being so. */
static void see_arenas_go(void)
{
    size_t churns_before = atomic_load(&churns), before = tide_arena_totals().released;
    while (atomic_load(&churns) - churns_before < ENOUGH_CHURNS ||
           tide_arena_totals().released - before < ENOUGH_RELEASED) {
        tide_malloc_trim(0); /* or more and more empty ones would be kept */
        usleep(1000);
    }
    size_t released = tide_arena_totals().released - before;
    size_t waiting = tide_arena_totals().waiting;
    REQUIRE(waiting + CHURNERS + WALKERS + 1 >= released,
            "%zu arenas were released during a walk, and only %zu wait for it", released, waiting);
}

static void run_round(void)
{
    pthread_t stayer;
    atomic_store(&is_staying, false);
    atomic_store(&is_stay_over, false);
    thread_start(&stayer, run_stayer, NULL);
    while (!atomic_load(&is_staying))
        usleep(100);
    see_arenas_go();
    fork_and_wait();
    atomic_store(&is_stay_over, true);
    thread_join(stayer);
    fork_and_wait();
}

/* ---- The run ---------------------------------------------------------------------- */

static void join_all(pthread_t *threads, int count, atomic_bool *is_over)
{
    atomic_store(is_over, true);
    for (int i = 0; i < count; i++)
        thread_join(threads[i]);
}

/* Maintenance wakes when something is freed, and when it looks it finds these.
 * Without it they are gone by themselves when nobody walks. */
static void wait_for_maintenance(void)
{
    if (tide_options.maintenance == TIDE_MAINTENANCE_OFF)
        return;
    while (tide_arena_totals().waiting != 0) {
        tide_free(tide_malloc(LARGE_BYTES));
        usleep(1000);
    }
}

static void run(size_t rounds)
{
    pthread_t walkers[WALKERS], churners[CHURNERS];
    atomic_store(&is_walking_over, false);
    atomic_store(&is_churning_over, false);
    for (int i = 0; i < CHURNERS; i++)
        thread_start(&churners[i], run_churner, NULL);
    for (int i = 0; i < WALKERS; i++)
        thread_start(&walkers[i], run_walker, NULL);
    for (size_t i = 0; i < rounds; i++)
        run_round();
    join_all(churners, CHURNERS, &is_churning_over);
    wait_for_maintenance();
    join_all(walkers, WALKERS, &is_walking_over);
    tide_malloc_trim(0);
    wait_for_maintenance();
    REQUIRE(tide_arena_totals().waiting == 0, "%zu arenas go on waiting without a walk",
            tide_arena_totals().waiting);
    check_heap();
}

/* But for what is free, which the store keeps. */
static size_t vm_in_use(void)
{
    return vm_bytes() - tide_store_totals().purged_bytes;
}

static void check_vm_returned(size_t before)
{
    size_t now = vm_in_use();
    if (TEST_SANITIZED)
        return;
    REQUIRE(now <= before + VM_ALLOWANCE, "address space stays in use: %zu KiB before, %zu KiB after",
            before / KIB, now / KIB);
    say("address space in use %zu KiB before, %zu KiB after", before / KIB, now / KIB);
}

int main(int argc, char **argv)
{
    test_begin("walkers");
    size_t rounds = test_argument(argc, argv, 1, test_work(20));
    struct tide_walk walk;
    test_set_watchdog();
    tide_walk_begin(&walk);
    tide_walk_end(&walk);
    if (!walk.is_free) {
        say("skipped: no liburcu");
        return TEST_SKIPPED;
    }

    run(1);
    size_t vm_before = vm_in_use(), before = rss_settled();
    run(rounds);
    check_vm_returned(vm_before);
    check_rss_returned(before, RSS_ALLOWANCE);
    say("%zu rounds, %zu walks, %zu arenas released", rounds, atomic_load(&walks),
        tide_arena_totals().released);
    return 0;
}

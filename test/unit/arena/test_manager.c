/* test_manager.c - arena/manager.h: taking runs and putting them back, locks,
 * shards
 */
#include "arena/manager.h"

#include <errno.h>
#include <sched.h>

#include "arena/nodes.h"
#include "arenas.h"
#include "machine/cpu.h"

/* ---- Runs --------------------------------------------------------------- */

SCENARIO(manager, a_run_is_taken_and_put_back)
{
    for (unsigned slots = 1; slots <= TIDE_WIDE_SLOTS; slots++) {
        struct tide_tenant tenant = { .arena = NULL };
        struct pool *run = take(&tenant, slots);
        struct arena *arena = tide_arena_of(run);
        unsigned left = tide_arena_free_slots(arena);

        TIDE_REQUIRE(is_there(arena) && tide_relaxed(&run->state) == POOL_RUN);
        TIDE_REQUIRE(run->slots == slots && left <= USABLE - slots);
        tide_arena_check();
        take(&filler, 1); /* so that the arena stays */
        tide_arena_put_run(run);
        tide_arena_leave(&tenant);
        tide_arena_check();
    }
}

SCENARIO(manager, without_memory_there_is_no_run_and_the_tenant_is_as_it_was)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *home;

    fill();
    take(&tenant, 1);
    home = tenant.arena;
    take_all();
    tide_os_fail_map_every(1);
    errno = 0;
    TIDE_REQUIRE(!tide_arena_take_run(&tenant, 1) && errno == ENOMEM);
    TIDE_REQUIRE(tenant.arena == home);
    errno = 0;
    TIDE_REQUIRE(!tide_arena_take_run(&tenant, TIDE_WIDE_SLOTS) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    tide_arena_check();
    take(&tenant, 1);
    TIDE_REQUIRE(tenant.arena != home);
}

SCENARIO(manager, success_keeps_errno)
{
    errno = ERANGE;
    tide_arena_put_run(fill());
    tide_arena_leave(&filler);
    TIDE_REQUIRE(errno == ERANGE);
}

/* ---- Where a run comes from --------------------------------------------- */

SCENARIO(manager, a_heap_is_a_tenant_of_the_arena_of_its_last_pool)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *run;
    uint32_t before;

    fill();
    before = filler.arena->tenants;
    run = take(&tenant, 1);
    TIDE_REQUIRE(tenant.arena == tide_arena_of(run) && tenant.arena == filler.arena);
    TIDE_REQUIRE(filler.arena->tenants == before + 1);
    run = take(&tenant, TIDE_WIDE_SLOTS);
    TIDE_REQUIRE(filler.arena->tenants == before + 1);
    tide_arena_leave(&tenant);
    TIDE_REQUIRE(!tenant.arena && filler.arena->tenants == before);
}

SCENARIO(manager, a_tenant_that_finds_its_home_full_moves)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *home;
    uint32_t tenants;

    fill();
    take(&tenant, 1);
    home = tenant.arena;
    tenants = home->tenants;
    take_all();
    take(&tenant, 1);
    TIDE_REQUIRE(tenant.arena != home);
    TIDE_REQUIRE(home->tenants == tenants - 1);
}

SCENARIO(manager, a_tenant_takes_from_home_though_another_arena_is_fuller)
{
    struct arena *whole;

    fill();
    whole = take_whole();
    keep_runs(whole, USABLE - 1);
    tide_arena_trim(0); /* no free slot is resident, here or at home */
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) != whole);
}

SCENARIO(manager, resident_slots_elsewhere_come_before_fresh_ones_at_home)
{
    struct arena *whole;

    fill();
    tide_arena_trim(0);
    whole = take_whole();
    keep_runs(whole, USABLE - 1);
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) == whole);
}

SCENARIO(manager, a_run_comes_from_the_fullest_arena_that_has_it)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *full, *half;

    fill(); /* the emptiest */
    full = take_whole();
    half = take_whole();
    keep_runs(full, USABLE - 2);
    keep_runs(half, USABLE / 2);
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == full);
    tide_arena_leave(&tenant);
    while (tide_arena_free_slots(half) >= TIDE_WIDE_SLOTS)
        TIDE_REQUIRE(tide_arena_of(take(&tenant, TIDE_WIDE_SLOTS)) == half);
    TIDE_REQUIRE(tide_arena_of(take(&tenant, TIDE_WIDE_SLOTS)) == filler.arena);
}

/* Arenas of one bucket, of which only the last has the slots for a wide run in a
 * row: that one. */
static struct arena *make_torn(unsigned count)
{
    struct arena *last;

    fill();
    take_free_slots(filler.arena);
    last = take_whole();
    keep_runs(last, USABLE - TIDE_WIDE_SLOTS);
    while (--count > 0) {
        struct arena *torn = take_whole();

        for (unsigned n = 0; n < TIDE_WIDE_SLOTS; n++)
            tide_arena_put_run(nth_run(torn, 2 * n));
        TIDE_REQUIRE(torn->bucket == last->bucket);
    }
    return last;
}

SCENARIO(manager, a_few_arenas_of_a_bucket_are_looked_into)
{
    struct arena *last = make_torn(4);

    TIDE_REQUIRE(tide_arena_of(take(&filler, TIDE_WIDE_SLOTS)) == last);
}

SCENARIO(manager, a_new_one_is_made_rather_than_look_into_more)
{
    struct arena *last = make_torn(5);
    size_t before = created();

    TIDE_REQUIRE(tide_arena_of(take(&filler, TIDE_WIDE_SLOTS)) != last && created() == before + 1);
}

SCENARIO(manager, without_memory_all_are_looked_into)
{
    struct arena *last = make_torn(5);

    tide_os_fail_map_every(1);
    while (tide_arena_of(take(&filler, TIDE_WIDE_SLOTS)) != last)
        ; /* what the store has */
    tide_os_fail_map_every(0);
}

SCENARIO(manager, an_arena_is_made_only_when_no_other_has_room)
{
    size_t before;

    fill();
    before = created();
    for (unsigned n = 1; n < USABLE; n++)
        take(&filler, 1);
    TIDE_REQUIRE(created() == before);
    take(&filler, 1);
    TIDE_REQUIRE(created() == before + 1);
}

/* ---- Busy arenas -------------------------------------------------------- */

static void hold(void *arena)
{
    tide_lock(&((struct arena *)arena)->lock);
}

static void let_go(void *arena)
{
    tide_unlock(&((struct arena *)arena)->lock);
}

/* Lets go when somebody has made himself a tenant to wait. */
static void let_go_when_waited_for(void *argument)
{
    struct arena *arena = argument;

    while (__atomic_load_n(&arena->tenants, __ATOMIC_RELAXED) == 0)
        sched_yield();
    let_go(arena);
}

SCENARIO(manager, an_arena_with_a_busy_lock_is_passed_over)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *whole;
    struct peer peer;

    if (tide_arena_global_lock)
        return;
    peer_start(&peer);
    fill();
    whole = take_whole();
    keep_runs(whole, USABLE - 4); /* the fullest with room */
    peer_do(&peer, hold, whole);
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == filler.arena);
    peer_do(&peer, let_go, whole);
    tide_arena_leave(&tenant);
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == whole);
    peer_end(&peer);
}

SCENARIO(manager, a_busy_arena_is_waited_for_when_nothing_else_is_left)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *whole;
    struct peer peer;

    if (tide_arena_global_lock)
        return;
    peer_start(&peer);
    fill();
    whole = take_whole();
    take_all();
    keep_runs(whole, USABLE - 1);
    peer_do(&peer, hold, whole);
    peer_ask(&peer, let_go_when_waited_for, whole);
    tide_os_fail_map_every(1);
    errno = ERANGE;
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == whole);
    TIDE_REQUIRE(errno == ERANGE);
    tide_os_fail_map_every(0);
    peer_wait(&peer);
    TIDE_REQUIRE(whole->tenants == 1);
    tide_arena_check();
    peer_end(&peer);
}

/* ---- Locks and shards --------------------------------------------------- */

static uint64_t acquired(const struct tide_lock *lock)
{
    return tide_relaxed(&lock->acquired);
}

SCENARIO(manager, lock_counts_grow_with_use)
{
    struct tide_lock arenas[2] = { TIDE_LOCK_INITIALIZER, TIDE_LOCK_INITIALIZER };
    struct tide_lock shards[2] = { TIDE_LOCK_INITIALIZER, TIDE_LOCK_INITIALIZER };
    struct tide_lock *global = tide_arena_global_lock;
    uint64_t before = global ? acquired(global) : 0;

    fill();
    tide_arena_lock_counts(&arenas[0], &shards[0]);
    tide_arena_put_run(take(&filler, 1));
    fill();
    tide_arena_lock_counts(&arenas[1], &shards[1]);
    TIDE_REQUIRE(tide_relaxed(&arenas[1].contended) + tide_relaxed(&shards[1].contended) == 0);
    if (global)
        TIDE_REQUIRE(acquired(global) > before && acquired(&arenas[1]) + acquired(&shards[1]) == 0);
    else
        TIDE_REQUIRE(acquired(&arenas[1]) >= acquired(&arenas[0]) + 2 &&
                     acquired(&shards[1]) > acquired(&shards[0]));
}

PROGRAM(one_lock)
{
    struct tide_lock *lock = tide_arena_global_lock;
    uint64_t before;

    TIDE_REQUIRE(lock);
    before = acquired(lock);
    take(&filler, 1);
    TIDE_REQUIRE(acquired(lock) > before && acquired(&filler.arena->lock) == 0);
}

PROGRAM(many_locks)
{
    TIDE_REQUIRE(!tide_arena_global_lock);
    tide_arena_put_run(take(&filler, 1));
    TIDE_REQUIRE(acquired(&filler.arena->lock) > 0);
}

Test(manager, all_locks_are_one_when_asked_for)
{
    assert_ended_well(run_program("one_lock", "TIDEPOOL_ARENA_LOCK=global", NULL));
    assert_ended_well(run_program("many_locks", "TIDEPOOL_ARENA_LOCK=arena", NULL));
}

PROGRAM(three_shards)
{
    struct tide_tenant tenants[3] = { { .shard = 0 }, { .shard = 1 }, { .shard = 2 } };
    struct pool *last;
    size_t before;

    for (unsigned cpu = 0; cpu < 1000; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == cpu % 3);
    for (unsigned n = 0; n < 3; n++)
        TIDE_REQUIRE(tide_arena_of(take_new(&tenants[n]))->shard == n);
    last = fill(); /* room is in shard 0 alone */
    TIDE_REQUIRE(filler.arena->shard == 0);
    before = created();
    TIDE_REQUIRE(tide_arena_of(take(&tenants[1], 1)) == filler.arena);
    TIDE_REQUIRE(tide_arena_of(take(&tenants[2], 1)) == filler.arena);
    TIDE_REQUIRE(created() == before);
    tide_arena_put_run(last);
    tide_arena_check();
}

Test(manager, arenas_belong_to_shards_and_lend_each_other)
{
    assert_ended_well(run_program("three_shards", "TIDEPOOL_SHARDS=3", NULL));
}

PROGRAM(homes)
{
    tide_arena_limit_homes(0);
    for (unsigned cpu = 0; cpu < 100; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == cpu % 8);
    tide_arena_limit_homes(100);
    TIDE_REQUIRE(tide_arena_shard_for_cpu(7) == 7);
    tide_arena_limit_homes(3);
    for (unsigned cpu = 0; cpu < 100; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == cpu % 3);
}

Test(manager, heaps_belong_to_no_more_shards_than_they_are_limited_to)
{
    assert_ended_well(run_program("homes", "TIDEPOOL_SHARDS=8", NULL));
}

PROGRAM(shard_for_each_cpu)
{
    unsigned cpus = tide_machine_cpu_count();

    for (unsigned cpu = 0; cpu < 64; cpu++)
        TIDE_REQUIRE(tide_arena_shard_for_cpu(cpu) == cpu % (cpus < 64 ? cpus : 64));
}

Test(manager, there_is_a_shard_for_each_usable_cpu)
{
    assert_ended_well(run_program("shard_for_each_cpu", NULL, NULL));
}

/* ---- Threads ------------------------------------------------------------ */

enum { THREADS = 3, RUNS = 40, ROUNDS = 200 };

/* Marks each run as its own while it has it. */
static void take_and_put(void *mark)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *runs[RUNS];

    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < RUNS; n++) {
            runs[n] = take(&tenant, 1 + (unsigned)(n * 7 + round) % TIDE_WIDE_SLOTS);
            *(void **)tide_pool_start(runs[n]) = mark;
        }
        for (int n = 0; n < RUNS; n++) {
            TIDE_REQUIRE(*(void **)tide_pool_start(runs[n]) == mark);
            tide_arena_put_run(runs[n]);
        }
    }
    tide_arena_leave(&tenant);
}

SCENARIO(manager, threads_get_different_runs_and_all_arenas_go_in_the_end)
{
    struct peer peers[THREADS];
    size_t before;

    for (int n = 0; n < THREADS; n++)
        peer_start(&peers[n]);
    fill();
    before = tide_arena_totals().arenas;
    for (int n = 0; n < THREADS; n++)
        peer_ask(&peers[n], take_and_put, &peers[n]);
    for (int n = 0; n < THREADS; n++)
        peer_wait(&peers[n]);
    tide_arena_check();
    TIDE_REQUIRE(tide_arena_totals().arenas == before);
    for (int n = 0; n < THREADS; n++)
        peer_end(&peers[n]);
}

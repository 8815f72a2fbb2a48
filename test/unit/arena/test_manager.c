/* test_manager.c - arena/manager.h
 *
 * Each scenario is a process with one shard, in which nobody else takes or
 * gives back runs, and is played with a lock for each arena and with one for
 * all.
 */
#include "arena/manager.h"

#include <errno.h>
#include <sched.h>

#include "../unit.h"
#include "arena/address_map.h"
#include "arena/arena.h"
#include "os/cpu.h"
#include "os/map.h"

enum { USABLE = TIDE_SLOTS - TIDE_HEADER_SLOTS };

#define SCENARIO(name)                                                                        \
    Test(manager, name)                                                                       \
    {                                                                                         \
        assert_ended_well(                                                                    \
            run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_LOCK=arena"));            \
        assert_ended_well(                                                                    \
            run_program(#name, "TIDEPOOL_SHARDS=1", "TIDEPOOL_ARENA_LOCK=global"));           \
    }                                                                                         \
    PROGRAM(name)

/* ---- Arenas of known fullness ------------------------------------------- */

static struct tide_tenant filler; /* whoever fills arenas */
static struct tide_tenant nobody; /* never a tenant: takes only large runs */

static size_t created(void)
{
    return tide_arena_totals().created;
}

static size_t released(void)
{
    return tide_arena_totals().released;
}

static struct pool *take(struct tide_tenant *tenant, unsigned slots)
{
    struct pool *run = tide_arena_take_run(tenant, slots, 1);

    TIDE_REQUIRE(run);
    return run;
}

/* Takes slots until the last of all arenas is full and there is a new one, in
 * which filler is a tenant and has the run returned. */
static struct pool *fill(void)
{
    size_t before = created();
    struct pool *run;

    do
        run = take(&filler, 1);
    while (created() == before);
    TIDE_REQUIRE(tide_arena_free_slots(filler.arena) == USABLE - 1);
    return run;
}

/* A run that takes all slots of an arena without tenants. */
static struct pool *take_whole(void)
{
    struct pool *run = take(&nobody, USABLE);

    TIDE_REQUIRE(!nobody.arena && tide_arena_of(run)->tenants == 0);
    TIDE_REQUIRE(tide_arena_free_slots(tide_arena_of(run)) == 0);
    return run;
}

/* Takes every slot there is. */
static void take_all(void)
{
    tide_os_fail_map_every(1);
    while (tide_arena_take_run(&filler, 1, 1))
        ;
    tide_os_fail_map_every(0);
}

static bool is_there(const struct arena *arena)
{
    return tide_memory_at(arena) == TIDE_ARENA;
}

/* ---- Runs --------------------------------------------------------------- */

SCENARIO(a_run_is_taken_and_put_back)
{
    for (unsigned slots = 1; slots <= USABLE; slots++) {
        struct pool *run = take(&nobody, slots);
        struct arena *arena = tide_arena_of(run);
        unsigned left = tide_arena_free_slots(arena);

        TIDE_REQUIRE(is_there(arena) && tide_relaxed(&run->state) == POOL_RUN);
        TIDE_REQUIRE(run->slots == slots && left <= USABLE - slots);
        tide_arena_check();
        take(&filler, 1); /* so that the arena stays */
        tide_arena_put_run(run);
        tide_arena_leave(&nobody);
        tide_arena_check();
    }
}

SCENARIO(a_run_can_be_aligned)
{
    for (unsigned alignment = 1; alignment <= TIDE_SLOTS / 2; alignment *= 2)
        for (int n = 0; n < 3; n++) {
            struct pool *run = tide_arena_take_run(&nobody, 2, alignment);

            TIDE_REQUIRE(run && tide_pool_slot(run) % alignment == 0);
        }
    tide_arena_check();
}

SCENARIO(a_run_changes_length_where_it_is)
{
    struct pool *run;

    fill();
    run = take_whole();
    TIDE_REQUIRE(tide_arena_resize_run(run, 3) && run->slots == 3);
    TIDE_REQUIRE(tide_arena_free_slots(tide_arena_of(run)) == USABLE - 3);
    tide_arena_check();
    TIDE_REQUIRE(tide_arena_resize_run(run, USABLE) && run->slots == USABLE);
    tide_arena_check();
    TIDE_REQUIRE(!tide_arena_resize_run(run, USABLE + 1) && run->slots == USABLE);
    tide_arena_check();
}

SCENARIO(without_memory_there_is_no_run_and_the_tenant_is_as_it_was)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct arena *home;

    fill();
    take(&tenant, 1);
    home = tenant.arena;
    take_all();
    tide_os_fail_map_every(1);
    errno = 0;
    TIDE_REQUIRE(!tide_arena_take_run(&tenant, 1, 1) && errno == ENOMEM);
    TIDE_REQUIRE(tenant.arena == home);
    errno = 0;
    TIDE_REQUIRE(!tide_arena_take_run(&nobody, USABLE, 1) && errno == ENOMEM);
    tide_os_fail_map_every(0);
    tide_arena_check();
    take(&tenant, 1);
    TIDE_REQUIRE(tenant.arena != home);
}

SCENARIO(success_keeps_errno)
{
    struct pool *run;

    fill();
    errno = ERANGE;
    run = take_whole();
    tide_arena_resize_run(run, 1);
    tide_arena_put_run(run);
    TIDE_REQUIRE(errno == ERANGE);
}

/* ---- Where a run comes from --------------------------------------------- */

SCENARIO(a_heap_is_a_tenant_of_the_arena_of_its_last_pool)
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

SCENARIO(a_large_run_makes_no_tenant)
{
    struct tide_tenant tenant = { .arena = NULL };

    fill();
    take(&tenant, TIDE_WIDE_SLOTS + 1);
    TIDE_REQUIRE(!tenant.arena);
    take(&tenant, 1);
    TIDE_REQUIRE(tenant.arena == filler.arena);
    take(&tenant, USABLE); /* from another arena */
    TIDE_REQUIRE(tenant.arena == filler.arena);
}

SCENARIO(a_tenant_that_finds_its_home_full_moves)
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

SCENARIO(a_tenant_takes_from_home_though_another_arena_is_fuller)
{
    struct pool *whole;

    fill();
    whole = take_whole();
    TIDE_REQUIRE(tide_arena_resize_run(whole, USABLE - 1));
    TIDE_REQUIRE(tide_arena_of(take(&filler, 1)) != tide_arena_of(whole));
}

SCENARIO(a_run_comes_from_the_fullest_arena_that_has_it)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *full, *half;

    fill(); /* the emptiest */
    full = take_whole();
    half = take_whole();
    TIDE_REQUIRE(tide_arena_resize_run(full, USABLE - 2));
    TIDE_REQUIRE(tide_arena_resize_run(half, USABLE / 2));
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == tide_arena_of(full));
    tide_arena_leave(&tenant);
    TIDE_REQUIRE(tide_arena_of(take(&nobody, USABLE / 4)) == tide_arena_of(half));
    TIDE_REQUIRE(tide_arena_of(take(&nobody, USABLE - USABLE / 4)) == filler.arena);
}

SCENARIO(an_arena_is_made_only_when_no_other_has_room)
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

SCENARIO(an_arena_with_a_busy_lock_is_passed_over)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *whole;
    struct peer peer;

    if (tide_arena_global_lock())
        return;
    peer_start(&peer);
    fill();
    whole = take_whole();
    TIDE_REQUIRE(tide_arena_resize_run(whole, USABLE - 4)); /* the fullest with room */
    peer_do(&peer, hold, tide_arena_of(whole));
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == filler.arena);
    peer_do(&peer, let_go, tide_arena_of(whole));
    tide_arena_leave(&tenant);
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == tide_arena_of(whole));
    peer_end(&peer);
}

SCENARIO(a_busy_arena_is_waited_for_when_nothing_else_is_left)
{
    struct tide_tenant tenant = { .arena = NULL };
    struct pool *whole;
    struct peer peer;

    if (tide_arena_global_lock())
        return;
    peer_start(&peer);
    fill();
    whole = take_whole();
    take_all();
    TIDE_REQUIRE(tide_arena_resize_run(whole, USABLE - 1));
    peer_do(&peer, hold, tide_arena_of(whole));
    peer_ask(&peer, let_go_when_waited_for, tide_arena_of(whole));
    tide_os_fail_map_every(1);
    errno = ERANGE;
    TIDE_REQUIRE(tide_arena_of(take(&tenant, 1)) == tide_arena_of(whole));
    TIDE_REQUIRE(errno == ERANGE);
    tide_os_fail_map_every(0);
    peer_wait(&peer);
    TIDE_REQUIRE(tide_arena_of(whole)->tenants == 1);
    tide_arena_check();
    peer_end(&peer);
}

/* ---- When an arena goes ------------------------------------------------- */

SCENARIO(one_empty_arena_is_kept_and_further_ones_go)
{
    struct pool *first, *second, *third;
    size_t before;

    fill();
    tide_arena_trim(0);
    before = released();
    first = take_whole();
    second = take_whole();
    third = take_whole();
    tide_arena_put_run(first);
    TIDE_REQUIRE(released() == before && is_there(tide_arena_of(first)));
    tide_arena_put_run(second);
    TIDE_REQUIRE(released() == before + 1 && !is_there(tide_arena_of(second)));
    TIDE_REQUIRE(!is_mapped(tide_arena_of(second)));
    tide_arena_put_run(third);
    TIDE_REQUIRE(released() == before + 2 && !is_there(tide_arena_of(third)));
    TIDE_REQUIRE(is_there(tide_arena_of(first)));
    tide_arena_check();
    TIDE_REQUIRE(take_whole() == first);
}

/* Released and mapped again at once, until the shard has learnt. */
SCENARIO(arenas_that_are_missed_at_once_are_kept)
{
    struct pool *runs[4];
    size_t before = 0;

    fill();
    for (int round = 0; round < 10; round++) {
        before = tide_arena_totals().created;
        for (int n = 0; n < 4; n++)
            runs[n] = take_whole();
        for (int n = 0; n < 4; n++)
            tide_arena_put_run(runs[n]);
    }
    TIDE_REQUIRE(tide_arena_totals().created == before);
    tide_arena_check();
}

SCENARIO(an_empty_arena_stays_while_it_has_tenants)
{
    struct pool *last = fill(), *whole;
    struct arena *home = filler.arena;
    size_t before;

    tide_arena_trim(0);
    before = released();
    whole = take_whole();
    tide_arena_put_run(whole);
    tide_arena_put_run(last);
    TIDE_REQUIRE(is_there(home) && tide_relaxed(&home->free) == TIDE_ALL_FREE);
    tide_arena_check();
    TIDE_REQUIRE(is_there(home));
    tide_arena_leave(&filler);
    TIDE_REQUIRE(is_there(home) != is_there(tide_arena_of(whole)));
    TIDE_REQUIRE(released() == before + 1);
    tide_arena_check();
}

SCENARIO(totals_add_up)
{
    struct pool *wholes[10];
    struct tide_arena_totals before, after;
    size_t walked = 0;

    fill();
    before = tide_arena_totals();
    for (int n = 0; n < 10; n++)
        wholes[n] = take_whole();
    for (int n = 0; n < 7; n++)
        tide_arena_put_run(wholes[n]);
    after = tide_arena_totals();
    TIDE_REQUIRE(after.created == before.created + 10);
    TIDE_REQUIRE(after.arenas == after.created - after.released);
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        walked++;
    TIDE_REQUIRE(walked == after.arenas);
}

/* ---- Trimming ----------------------------------------------------------- */

SCENARIO(trim_returns_the_pages_of_free_slots)
{
    struct pool *run;
    char *start;
    size_t returnable;

    fill();
    run = take(&filler, 4);
    start = tide_pool_start(run);
    memset(start, 1, 4 * TIDE_SLOT_BYTES);
    returnable = tide_arena_returnable();
    tide_arena_put_run(run);
    TIDE_REQUIRE(tide_arena_returnable() == returnable + 4 * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_trim(0) == returnable + 4 * TIDE_SLOT_BYTES);
    TIDE_REQUIRE(tide_arena_returnable() == 0 && tide_arena_trim(0) == 0);
    TIDE_REQUIRE(!is_resident(start) && !is_resident(start + 4 * TIDE_SLOT_BYTES - 1));
    tide_arena_check();
    run = take(&filler, 4);
    TIDE_REQUIRE(run->is_zero && is_zero(tide_pool_start(run), 4 * TIDE_SLOT_BYTES));
}

SCENARIO(trim_leaves_what_is_in_use)
{
    struct pool *runs[6];

    fill();
    for (int n = 0; n < 6; n++) {
        runs[n] = take(&filler, 2);
        memset(tide_pool_start(runs[n]), n + 1, 2 * TIDE_SLOT_BYTES);
    }
    for (int n = 0; n < 6; n += 2)
        tide_arena_put_run(runs[n]);
    TIDE_REQUIRE(tide_arena_trim(0) >= 6 * TIDE_SLOT_BYTES);
    for (int n = 1; n < 6; n += 2)
        for (size_t at = 0; at < 2 * TIDE_SLOT_BYTES; at++)
            TIDE_REQUIRE(tide_pool_start(runs[n])[at] == n + 1);
    tide_arena_check();
}

SCENARIO(trim_keeps_what_it_is_told_to)
{
    struct pool *run;
    size_t returnable;

    fill();
    run = take(&filler, 4);
    memset(tide_pool_start(run), 1, 4 * TIDE_SLOT_BYTES);
    tide_arena_put_run(run);
    returnable = tide_arena_returnable();
    TIDE_REQUIRE(tide_arena_trim(returnable) == 0);
    TIDE_REQUIRE(tide_arena_returnable() == returnable && is_resident(tide_pool_start(run)));
    TIDE_REQUIRE(tide_arena_trim(returnable - 1) > 0);
}

SCENARIO(trim_releases_the_empty_arena_that_is_kept)
{
    struct pool *whole;
    size_t before;

    fill();
    tide_arena_trim(0);
    before = released();
    whole = take_whole();
    tide_arena_put_run(whole);
    tide_arena_trim(1);
    TIDE_REQUIRE(is_there(tide_arena_of(whole)));
    tide_arena_trim(0);
    TIDE_REQUIRE(released() == before + 1 && !is_there(tide_arena_of(whole)));
    tide_arena_check();
}

/* ---- Walking ------------------------------------------------------------ */

SCENARIO(a_walk_meets_every_arena_once)
{
    struct pool *wholes[5];
    unsigned met[5] = { 0 };

    fill();
    for (int n = 0; n < 5; n++)
        wholes[n] = take_whole();
    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena)) {
        TIDE_REQUIRE(is_there(arena) && arena->tenants > 0);
        for (int n = 0; n < 5; n++)
            met[n] += arena == tide_arena_of(wholes[n]);
    }
    for (int n = 0; n < 5; n++)
        TIDE_REQUIRE(met[n] == 1 && tide_arena_of(wholes[n])->tenants == 0);
}

SCENARIO(the_arena_walked_to_stays_until_the_next_step)
{
    struct pool *kept, *walked;
    struct arena *arena;

    fill();
    tide_arena_trim(0);
    kept = take_whole();
    walked = take_whole();
    arena = tide_arena_next(NULL);
    while (arena != tide_arena_of(walked))
        arena = tide_arena_next(arena);
    tide_arena_put_run(kept);
    tide_arena_put_run(walked);
    TIDE_REQUIRE(is_there(arena) && tide_relaxed(&arena->free) == TIDE_ALL_FREE);
    while (arena)
        arena = tide_arena_next(arena);
    TIDE_REQUIRE(!is_there(tide_arena_of(walked)) && is_there(tide_arena_of(kept)));
    tide_arena_check();
}

/* ---- Locks and shards --------------------------------------------------- */

static uint64_t acquired(const struct tide_lock *lock)
{
    return tide_relaxed(&lock->acquired);
}

SCENARIO(lock_counts_grow_with_use)
{
    struct tide_lock arenas[2] = { TIDE_LOCK_INITIALIZER, TIDE_LOCK_INITIALIZER };
    struct tide_lock shards[2] = { TIDE_LOCK_INITIALIZER, TIDE_LOCK_INITIALIZER };
    struct tide_lock *global = tide_arena_global_lock();
    uint64_t before = global ? acquired(global) : 0;

    fill();
    tide_arena_lock_counts(&arenas[0], &shards[0]);
    tide_arena_put_run(take(&filler, 1));
    take_whole();
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
    struct tide_lock *lock = tide_arena_global_lock();
    uint64_t before;

    TIDE_REQUIRE(lock);
    before = acquired(lock);
    take(&filler, 1);
    TIDE_REQUIRE(acquired(lock) > before && acquired(&filler.arena->lock) == 0);
}

PROGRAM(many_locks)
{
    TIDE_REQUIRE(!tide_arena_global_lock());
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
        TIDE_REQUIRE(tide_arena_of(take(&tenants[n], USABLE))->shard == n);
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

PROGRAM(shard_for_each_cpu)
{
    unsigned cpus = tide_os_cpu_count();

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
            runs[n] = take(&tenant, 1 + (unsigned)(n * 7 + round) % 9);
            *(void **)tide_pool_start(runs[n]) = mark;
        }
        for (int n = 0; n < RUNS; n++) {
            TIDE_REQUIRE(*(void **)tide_pool_start(runs[n]) == mark);
            tide_arena_put_run(runs[n]);
        }
    }
    tide_arena_leave(&tenant);
}

SCENARIO(threads_get_different_runs_and_all_arenas_go_in_the_end)
{
    struct peer peers[THREADS];
    size_t before;

    for (int n = 0; n < THREADS; n++)
        peer_start(&peers[n]);
    fill();
    tide_arena_trim(0);
    before = tide_arena_totals().arenas;
    for (int n = 0; n < THREADS; n++)
        peer_ask(&peers[n], take_and_put, &peers[n]);
    for (int n = 0; n < THREADS; n++)
        peer_wait(&peers[n]);
    tide_arena_check();
    tide_arena_trim(0);
    TIDE_REQUIRE(tide_arena_totals().arenas == before);
    for (int n = 0; n < THREADS; n++)
        peer_end(&peers[n]);
}

/* ---- The check itself --------------------------------------------------- */

static void check_wrong_bucket(void)
{
    filler.arena->bucket ^= 1;
    tide_arena_check();
}

static void check_broken_list(void)
{
    filler.arena->prev_all = filler.arena;
    tide_arena_check();
}

static void check_wrong_shard(void)
{
    filler.arena->shard++;
    tide_arena_check();
}

static void check_free_header(void)
{
    tide_set_relaxed(&filler.arena->free, tide_relaxed(&filler.arena->free) | 1);
    tide_arena_check();
}

Test(manager, check_sees_what_is_broken)
{
    tide_arena_take_run(&filler, 1, 1);
    tide_arena_check();
    assert_broken(run_apart(check_wrong_bucket));
    assert_broken(run_apart(check_wrong_shard));
    assert_broken(run_apart(check_free_header));
    while (filler.arena == tide_arena_of(tide_arena_take_run(&filler, 1, 1)))
        ;
    while (!filler.arena->next_all && !filler.arena->prev_all)
        tide_arena_take_run(&filler, 1, 1);
    if (filler.arena->prev_all)
        assert_broken(run_apart(check_broken_list));
}

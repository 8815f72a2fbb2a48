/* test_fork_copies.c - api/fork.h: copies that no handler ran in, and the child of a vfork
 */
#include "api/fork.h"

#include "../copies.h"
#include "arena/reserve.h"
#include "arena/retired.h"
#include "forks.h"
#include "os/records.h"
#include "store/store.h"
#include "upkeep/reclaim.h"

/* Locks all there is, as if others were in the middle of everything. */
static void lock_everything(void *unused)
{
    (void)unused;
    tide_lock(tide_upkeep_lock());
    tide_lock(tide_heap_start_lock());
    tide_lock(tide_common_lock());
    tide_lock(tide_heap_orphans_lock());
    tide_depot_lock_all();
    tide_arena_before_fork();
    tide_lock(tide_retired_lock());
    tide_lock(tide_reserve_lock());
    if (!tide_arena_global_lock)
        tide_lock(tide_store_lock());
    tide_lock(tide_os_records_lock());
    tide_lock(tide_reclaim_handler_lock());
}

static void unlock_everything(void *unused)
{
    (void)unused;
    tide_unlock(tide_reclaim_handler_lock());
    tide_unlock(tide_os_records_lock());
    if (!tide_arena_global_lock)
        tide_unlock(tide_store_lock());
    tide_unlock(tide_reserve_lock());
    tide_unlock(tide_retired_lock());
    tide_arena_after_fork(false);
    tide_depot_unlock_all(false);
    tide_unlock(tide_heap_orphans_lock());
    tide_unlock(tide_common_lock());
    tide_unlock(tide_heap_start_lock());
    tide_unlock(tide_upkeep_lock());
}

static struct heap *own, *common;

static void be_lone_copy(void)
{
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home() && tide_common_heap() == common);
    free_everything(before);
    run_thread(use_everything, NULL);
    end_child();
}

SCENARIO(a_lone_threads_copy_goes_on, NULL)
{
    own = own_heap();
    common = tide_common_heap();
    allocate_all(before);
    TIDE_REQUIRE(run_copy(be_lone_copy) == 0);
    free_everything(before);
    use_everything(NULL);
    tide_check_all();
}

static void be_copy(void)
{
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home());
    TIDE_REQUIRE(tide_common_heap() != common && is_listed(tide_common_heap()));
    TIDE_REQUIRE(tide_relaxed(&common->state) == HEAP_RETIRED);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_RETIRED && tide_heap_count() == 1);
    free_everything(before);
    free_everything(others);
    run_thread(use_everything, NULL);
    end_child();
}

static void check_copy_among_locks(void)
{
    start_other();
    own = own_heap();
    common = tide_common_heap();
    allocate_all(before);
    peer_do(&other, allocate_all, others);
    peer_do(&other, lock_everything, NULL);
    TIDE_REQUIRE(run_copy(be_copy) == 0);
    peer_do(&other, unlock_everything, NULL);
    free_everything(before);
    peer_do(&other, free_everything, others);
    peer_end(&other);
    use_everything(NULL);
    tide_check_all();
}

SCENARIO(a_copy_goes_on_whatever_others_had_locked, NULL)
{
    check_copy_among_locks();
}

SCENARIO(so_does_one_with_one_lock_for_arenas, "TIDEPOOL_ARENA_LOCK=global")
{
    check_copy_among_locks();
}

SCENARIO(so_does_one_whose_calls_are_checked, "TIDEPOOL_CHECK=on")
{
    check_copy_among_locks();
}

static void free_first(void)
{
    free_everything(before);
    free_everything(others);
    end_child();
}

/* A copy whose first calls are frees. */
SCENARIO(a_copy_that_frees_first_goes_on, NULL)
{
    start_other();
    allocate_all(before);
    peer_do(&other, allocate_all, others);
    peer_do(&other, lock_everything, NULL);
    TIDE_REQUIRE(run_copy(free_first) == 0);
    peer_do(&other, unlock_everything, NULL);
    peer_end(&other);
}

static void be_copy_without_heap(void)
{
    TIDE_REQUIRE(own_heap() != own);
    free_everything(before);
    end_child();
}

SCENARIO(a_copy_does_without_a_heap_that_was_taken, NULL)
{
    start_other();
    own = own_heap();
    allocate_all(before);
    TIDE_REQUIRE(tide_heap_close(own));
    TIDE_REQUIRE(run_copy(be_copy_without_heap) == 0);
    tide_heap_open(own);
    TIDE_REQUIRE(own_heap() == own);
    free_everything(before);
    peer_end(&other);
    tide_check_all();
}

static struct heap *orphan;

static void adopt_in_copy(void)
{
    run_thread(expect_another_heap, orphan);
    TIDE_REQUIRE(tide_relaxed(&orphan->state) == HEAP_RETIRED);
    end_child();
}

SCENARIO(a_copy_adopts_no_orphans, NULL)
{
    orphan = make_orphan();
    TIDE_REQUIRE(run_copy(adopt_in_copy) == 0);
    run_thread(expect_heap, orphan);
}

/* ---- The child of a vfork ---------------------------------------------------------- */

static void *kept;

__attribute__((noinline)) static void allocate_in_vfork(void)
{
    pid_t child = vfork();

    if (child == 0) {
        use_everything(NULL);
        kept = memset(allocate(SIZE), 7, SIZE);
        _exit(tide_heap_is_at_home());
    }
    wait_for(child);
}

SCENARIO(the_child_of_a_vfork_uses_its_parents_heap, NULL)
{
    start_other();
    own = own_heap();
    common = tide_common_heap();
    allocate_in_vfork();
    TIDE_REQUIRE(tide_relaxed(&tide_pool_of(kept)->owner) == own && ((char *)kept)[SIZE - 1] == 7);
    TIDE_REQUIRE(own_heap() == own && tide_heap_is_at_home() && tide_common_heap() == common);
    TIDE_REQUIRE(tide_relaxed(&others_heap->state) == HEAP_OWNED);
    tide_free(kept);
    peer_end(&other);
    tide_check_all();
}

/* test_reclaim.c - upkeep/reclaim.h and tide_on_pressure: what happens at the soft
 * limit and at the hard one
 *
 * Sizes are large blocks' but for the last: what they count for is just what they are.
 */
#include "upkeep/reclaim.h"

#include <errno.h>

#include "../heap/heaps.h"
#include "os/map.h"
#include "store/purge.h"

#define MIB ((size_t)1 << 20)

#define SCENARIO(name, setting, more)                                                         \
    Test(reclaim, name)                                                                       \
    {                                                                                         \
        struct outcome outcome = run_program(#name, setting, more);                           \
                                                                                              \
        assert_ended_well(outcome);                                                           \
        cr_assert_str_empty(outcome.text, "%s", outcome.text);                                \
    }                                                                                         \
    PROGRAM(name)

#define NO_THREAD "TIDEPOOL_MAINTENANCE=off"
#define SOFT "TIDEPOOL_LIMIT_SOFT=100M"
#define HARD "TIDEPOOL_LIMIT_HARD=100M"

static int calls;
static size_t told_bytes, told_limit, dirty_at_call;
static void *told_argument, *cache; /* what the program gives up */

static void note_call(size_t bytes_in_use, size_t limit, void *argument)
{
    calls++;
    told_bytes = bytes_in_use;
    told_limit = limit;
    told_argument = argument;
    dirty_at_call = tide_store_totals().dirty_bytes;
}

static void cross(void)
{
    void *block = allocate(110 * MIB);

    tide_free(block);
    tide_store_purge(0, SIZE_MAX);
}

/* ---- The soft limit ----------------------------------------------------- */

SCENARIO(the_program_is_told_with_what_it_asked_for, SOFT, NO_THREAD)
{
    TIDE_REQUIRE(!tide_on_pressure(note_call, &calls));
    tide_free(allocate(90 * MIB));
    TIDE_REQUIRE(calls == 0);
    errno = EXDEV;
    cache = allocate(110 * MIB);
    TIDE_REQUIRE(errno == EXDEV);
    TIDE_REQUIRE(calls == 1 && told_limit == 100 * MIB && told_argument == &calls);
    TIDE_REQUIRE(told_bytes >= 110 * MIB && told_bytes == tide_os_limits_mapped());
    tide_free(cache);
}

SCENARIO(without_a_soft_limit_nobody_is_told, NO_THREAD, NULL)
{
    tide_on_pressure(note_call, NULL);
    cross();
    TIDE_REQUIRE(calls == 0);
}

SCENARIO(a_crossing_is_told_once, SOFT, NO_THREAD)
{
    void *more[20], *most = NULL;

    tide_on_pressure(note_call, NULL);
    cache = allocate(110 * MIB);
    for (int n = 0; n < 20; n++)
        more[n] = allocate(3 * MIB);
    TIDE_REQUIRE(calls == 1);
    free_all(more, 20);
    tide_free(cache);
    tide_store_purge(0, SIZE_MAX);
    TIDE_REQUIRE(calls == 1);
    most = allocate(110 * MIB);
    TIDE_REQUIRE(calls == 2);
    tide_free(most);
}

SCENARIO(handlers_replace_each_other, SOFT, NO_THREAD)
{
    TIDE_REQUIRE(!tide_on_pressure(note_call, NULL));
    TIDE_REQUIRE(tide_on_pressure(NULL, NULL) == note_call);
    cross();
    TIDE_REQUIRE(calls == 0);
    TIDE_REQUIRE(!tide_on_pressure(note_call, NULL));
    cross();
    TIDE_REQUIRE(calls == 1);
}

SCENARIO(what_was_kept_goes_before_the_program_is_told, SOFT, NO_THREAD)
{
    tide_on_pressure(note_call, NULL);
    leave_maintenance_out();
    tide_free(allocate(40 * MIB));
    TIDE_REQUIRE(tide_store_totals().dirty_bytes >= 40 * MIB);
    cache = allocate(90 * MIB);
    TIDE_REQUIRE(calls == 1 && dirty_at_call == 0 && told_bytes < 100 * MIB);
    tide_free(cache);
}

static void give_up_cache(size_t bytes_in_use, size_t limit, void *argument)
{
    note_call(bytes_in_use, limit, argument);
    tide_free(cache);
    cache = NULL;
    tide_free(allocate(120 * MIB)); /* across it again, from within */
    tide_store_purge(0, SIZE_MAX);
    for (size_t size = 1; size < MIB; size *= 3)
        tide_free(allocate(size));
}

SCENARIO(a_handler_may_allocate_and_is_not_entered_again, SOFT, NO_THREAD)
{
    void *block;

    tide_on_pressure(give_up_cache, NULL);
    cache = allocate(60 * MIB);
    block = allocate(60 * MIB);
    TIDE_REQUIRE(calls >= 1 && !cache);
    memset(block, 1, 60 * MIB);
    tide_free(block);
    tide_check_all();
}

SCENARIO(small_blocks_and_growing_ones_cross_too, SOFT, NO_THREAD)
{
    enum { SIZE = 2000, COUNT = 110 * 1024 * 1024 / SIZE };
    static void *blocks[COUNT];
    char *growing = allocate(3 * MIB);

    tide_on_pressure(note_call, NULL);
    for (size_t bytes = 4 * MIB; bytes < 110 * MIB; bytes += 4 * MIB)
        growing = tide_realloc(growing, bytes);
    TIDE_REQUIRE(calls == 1);
    tide_free(growing);
    tide_store_purge(0, SIZE_MAX);
    for (int n = 0; n < COUNT; n++)
        blocks[n] = allocate(SIZE);
    TIDE_REQUIRE(calls == 2);
    free_all(blocks, COUNT);
}

SCENARIO(free_slots_go_at_the_soft_limit, SOFT, NO_THREAD)
{
    enum { COUNT = 400 };
    void *blocks[COUNT];

    for (int n = 0; n < COUNT; n++)
        memset(blocks[n] = allocate(TIDE_POOLED_MAX), 1, TIDE_POOLED_MAX);
    leave_maintenance_out();
    free_all(blocks, COUNT);
    TIDE_REQUIRE(tide_arena_returnable() > 0);
    cross();
    TIDE_REQUIRE(tide_arena_returnable() == 0);
}

static void fork_within(size_t bytes_in_use, size_t limit, void *argument)
{
    note_call(bytes_in_use, limit, argument);
    if (calls == 1)
        *(pid_t *)argument = fork();
}

SCENARIO(a_handler_may_fork, SOFT, NO_THREAD)
{
    pid_t child = -1;
    int status;

    tide_on_pressure(fork_within, &child);
    cross();
    TIDE_REQUIRE(calls == 1 && child >= 0);
    cross();
    TIDE_REQUIRE(calls == 2);
    if (child == 0)
        _exit(0);
    TIDE_REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

static sem_t entered, leave;

static void wait_within(size_t bytes_in_use, size_t limit, void *argument)
{
    note_call(bytes_in_use, limit, argument);
    if (calls == 1) {
        sem_post(&entered);
        sem_wait(&leave);
    }
}

static void cross_by_thread(void *unused)
{
    (void)unused;
    cross();
}

/* The thread that is in the handler isn't in the child. */
SCENARIO(a_fork_during_a_handler_leaves_the_child_whole, SOFT, NO_THREAD)
{
    struct peer other;
    int status;

    sem_init(&entered, 0, 0);
    sem_init(&leave, 0, 0);
    tide_on_pressure(wait_within, NULL);
    peer_start(&other);
    peer_ask(&other, cross_by_thread, NULL);
    sem_wait(&entered);
    if (fork() == 0) {
        tide_os_limits_set(tide_os_limits_mapped() + 50 * MIB, TIDE_NO_LIMIT);
        tide_os_limits_put(0);
        cross();
        TIDE_REQUIRE(calls == 2);
        _exit(0);
    }
    TIDE_REQUIRE(wait(&status) > 0 && status == 0);
    sem_post(&leave);
    peer_wait(&other);
    peer_end(&other);
}

/* ---- The hard limit ----------------------------------------------------- */

static bool is_refused(size_t size)
{
    void *block;

    errno = 0;
    block = tide_malloc(size);
    tide_free(block);
    return !block && errno == ENOMEM;
}

PROGRAM(beyond_the_hard_limit)
{
    char *block = allocate(60 * MIB), *grown;
    void *out = NULL;

    memset(block, 1, 60 * MIB);
    TIDE_REQUIRE(is_refused(60 * MIB) && is_refused(60 * MIB));
    TIDE_REQUIRE(tide_posix_memalign(&out, 4096, 60 * MIB) == ENOMEM && !out);
    TIDE_REQUIRE(!tide_calloc(60, MIB));
    TIDE_REQUIRE(!tide_realloc(block, 120 * MIB) && errno == ENOMEM);
    TIDE_REQUIRE(block[0] == 1 && memcmp(block, block + 1, 60 * MIB - 1) == 0);
    grown = tide_realloc(block, 90 * MIB);
    TIDE_REQUIRE(grown && grown[0] == 1 && memcmp(grown, grown + 1, 60 * MIB - 1) == 0);
    tide_free(grown);
    tide_free(allocate(90 * MIB));
    TIDE_REQUIRE(tide_os_limits_mapped() <= 100 * MIB);
    tide_check_all();
}

Test(reclaim, beyond_the_hard_limit_calls_fail_and_one_line_says_why)
{
    struct outcome outcome = run_program("beyond_the_hard_limit", HARD, NO_THREAD);

    assert_ended_well(outcome);
    cr_assert(strstr(outcome.text, "no memory for 62914560 bytes: TIDEPOOL_LIMIT_HARD is reached"),
              "%s", outcome.text);
    cr_assert_eq(strchr(outcome.text, '\n'), outcome.text + strlen(outcome.text) - 1, "%s",
                 outcome.text);
}

/* Without a word: nothing fails. */
SCENARIO(what_was_kept_goes_before_the_hard_limit_is_reached, HARD, NO_THREAD)
{
    char *block;

    for (size_t n = 20; n < 95; n += 15)
        tide_free(allocate(n * MIB));
    block = allocate(40 * MIB);
    memset(block, 1, 40 * MIB);
    tide_free(allocate(30 * MIB)); /* is dirty, and counts */
    block = tide_realloc(block, 90 * MIB);
    TIDE_REQUIRE(block && block[0] == 1 && block[40 * MIB - 1] == 1);
    tide_free(block);
}

PROGRAM(small_blocks_beyond_the_hard_limit)
{
    enum { SIZE = 1000 };
    void *block, *list = NULL;
    size_t first = 0, second = 0;

    for (; (block = tide_malloc(SIZE)); list = block, first++)
        *(void **)block = list;
    TIDE_REQUIRE(errno == ENOMEM && tide_os_limits_mapped() <= 100 * MIB);
    TIDE_REQUIRE(first > 80 * MIB / SIZE);
    for (; (block = list); tide_free(block))
        list = *(void **)block;
    for (; (block = tide_malloc(SIZE)); list = block, second++)
        *(void **)block = list;
    TIDE_REQUIRE(second >= first - TIDE_ARENA_BYTES / SIZE);
    for (; (block = list); tide_free(block))
        list = *(void **)block;
    tide_check_all();
}

Test(reclaim, small_blocks_stop_at_the_hard_limit_and_can_be_had_again)
{
    struct outcome outcome = run_program("small_blocks_beyond_the_hard_limit", HARD, NO_THREAD);

    assert_ended_well(outcome);
    cr_assert(strstr(outcome.text, "TIDEPOOL_LIMIT_HARD is reached"), "%s", outcome.text);
}

SCENARIO(absurd_sizes_are_refused_without_a_word, HARD, NO_THREAD)
{
    TIDE_REQUIRE(is_refused(PTRDIFF_MAX) && is_refused((size_t)PTRDIFF_MAX + 1));
    TIDE_REQUIRE(is_refused((size_t)1 << 46) && is_refused(SIZE_MAX));
}

SCENARIO(absurd_sizes_are_refused_without_a_word_or_a_limit, NO_THREAD, NULL)
{
    TIDE_REQUIRE(is_refused(PTRDIFF_MAX) && is_refused((size_t)PTRDIFF_MAX + 1));
    TIDE_REQUIRE(is_refused((size_t)1 << 60) && is_refused(SIZE_MAX));
    TIDE_REQUIRE(!tide_aligned_alloc(opaque((size_t)1 << 62), 100));
}

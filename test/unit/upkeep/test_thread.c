/* test_thread.c - upkeep/thread.h: the thread is there when there is
 * something to give back, and gives it back while the program does nothing
 *
 * Nothing here depends on how fast: what is waited for comes, or the program
 * is ended by its alarm.
 */
#include "upkeep/thread.h"

#include <dirent.h>

#include "heap/remote.h"
#include "../machine/trees.h"
#include "../heap/heaps.h"
#include "arena/walk.h"
#include "os/barrier.h"
#include "os/huge_pages.h"
#include "store/store.h"
#include "upkeep/upkeep.h"

enum { BLOCKS = 512, LARGE = 1 << 20 };
#define QUICKLY "TIDEPOOL_DECAY_MS=10"
#define ALWAYS "TIDEPOOL_MAINTENANCE=on"

static void *blocks[BLOCKS];

static bool is_named(const char *thread, const char *wanted)
{
    char path[300], name[20] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    file = fopen(path, "r");
    if (!file)
        return false;
    TIDE_REQUIRE(fscanf(file, "%19s", name) == 1);
    fclose(file);
    return strcmp(name, wanted) == 0;
}

static int count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    int count = 0;

    TIDE_REQUIRE(directory);
    while ((entry = readdir(directory)))
        count += is_named(entry->d_name, "tidepool");
    closedir(directory);
    return count;
}

static void wait_for_thread(void)
{
    while (count_threads() == 0)
        usleep(1000);
    TIDE_REQUIRE(count_threads() == 1);
}

static uint32_t state(void)
{
    return tide_relaxed(&tide_upkeep_state);
}

/* More than is maintained, of ranges and of arenas. */
static void take_all(void)
{
    for (int n = 0; n < BLOCKS; n++) {
        size_t size = n % 8 == 0 ? LARGE : TIDE_POOLED_MAX;

        blocks[n] = memset(allocate(size), 1, size);
    }
}

/* Bytes that are free and resident. */
static size_t kept(void)
{
    return tide_arena_returnable() + tide_store_totals().dirty_bytes;
}

static void wait_until_gone(void)
{
    while (kept() > 0)
        usleep(1000);
}

static void use_and_wait(void)
{
    take_all();
    wait_for_thread();
    free_all(blocks, BLOCKS);
    wait_until_gone();
}

/* With a thread though there is one heap, unless a setting says else. */
#define SCENARIO(name, setting, more)                                                         \
    Test(maintenance, name)                                                                   \
    {                                                                                         \
        assert_ended_well(run_program_with(#name, (const char *const[MOST_SETTINGS]){         \
                                                      ALWAYS, setting, more }));              \
    }                                                                                         \
    PROGRAM(name)

SCENARIO(a_small_program_has_no_thread, QUICKLY, NULL)
{
    tide_free(allocate(LARGE));
    TIDE_REQUIRE(count_threads() == 0 && state() == TIDE_UPKEEP_NONE);
}

SCENARIO(what_was_freed_goes_while_the_program_is_idle, QUICKLY, NULL)
{
    use_and_wait();
    for (int round = 0; round < 3; round++) { /* it is woken again */
        take_all();
        free_all(blocks, BLOCKS);
        wait_until_gone();
    }
    TIDE_REQUIRE(count_threads() == 1);
    tide_check_all();
}

SCENARIO(large_blocks_go, QUICKLY, NULL)
{
    enum { LENGTH = 20 << 20 };
    char *block = memset(allocate(LENGTH), 1, LENGTH);

    wait_for_thread();
    tide_free(block);
    wait_until_gone();
    for (size_t n = 0; n < LENGTH; n += TIDE_SLOT_BYTES)
        TIDE_REQUIRE(!is_resident(block + n));
}

static size_t count_huge(void)
{
    size_t count = 0;

    for (struct arena *arena = tide_arena_next(NULL); arena; arena = tide_arena_next(arena))
        count += tide_arena_is(arena, ARENA_HUGE);
    return count;
}

/* Full arenas get huge pages, also when nothing is freed and it sleeps. */
SCENARIO(full_arenas_get_huge_pages, QUICKLY, NULL)
{
    enum { ROUNDS = 3 };
    size_t before = 0;

    if (!TIDE_ARENAS_MAY_BE_HUGE || tide_os_huge_pages() == TIDE_HUGE_PAGES_NEVER)
        return;
    for (int round = 0; round < ROUNDS; round++, before = count_huge()) {
        for (size_t bytes = 0; bytes < 16 * TIDE_ARENA_BYTES; bytes += TIDE_NARROW_MAX)
            memset(allocate(TIDE_NARROW_MAX), 1, TIDE_NARROW_MAX);
        while (count_huge() < before + 8)
            usleep(1000);
        while (tide_relaxed(&tide_bell) != TIDE_BELL_ASLEEP)
            usleep(1000);
    }
    tide_check_all();
}

enum { RARE = 1900 }; /* a size that nobody else has blocks of */

static void allocate_and_end(void *unused)
{
    (void)unused;
    tide_free(allocate(RARE));
}

SCENARIO(pools_of_orphans_go, QUICKLY, NULL)
{
    take_all();
    wait_for_thread();
    run_thread(allocate_and_end, NULL);
    while (pools_of_size(RARE) > 0)
        usleep(1000);
}

enum { LENT = 200, SHARED = RARE };

static void *lent[LENT];

static void lend(void *size)
{
    for (int n = 0; n < LENT; n++)
        lent[n] = allocate(*(size_t *)size);
}

static void free_lent(void *unused)
{
    (void)unused;
    free_all(lent, LENT);
}

SCENARIO(blocks_in_the_depot_go, QUICKLY, NULL)
{
    size_t size = RARE;
    struct peer other;

    peer_start(&other);
    take_all();
    wait_for_thread();
    run_thread(lend, &size);
    peer_do(&other, free_lent, NULL);
    while (stored_of(size) > 0)
        usleep(1000);
    peer_end(&other); /* which sends the rest home */
    while (pools_of_size(size) > 0)
        usleep(1000);
}

/* Lends blocks of the common heap. */
static size_t lend_shared(void)
{
    size_t size = SHARED;

    make_many_heaps();
    for (int n = 0; n < LENT; n++)
        lent[n] = allocate_shared(size);
    TIDE_REQUIRE(pools_of_size(size) > 0);
    return size;
}

SCENARIO(pools_of_the_common_heap_go, QUICKLY, NULL)
{
    size_t size;

    take_all();
    wait_for_thread();
    size = lend_shared();
    free_lent(NULL);
    tide_heap_send_all_foreign(own_heap());
    while (pools_of_size(size) > 0)
        usleep(1000);
}

/* In a program without the thread: whether something wakes it. */
static bool is_awake(void)
{
    return atomic_load(&tide_bell) == TIDE_BELL_AWAKE;
}

static void let_it_sleep(void)
{
    leave_maintenance_out();
    while (tide_upkeep_look() > 0)
        ;
    atomic_store(&tide_bell, TIDE_BELL_ASLEEP);
}

SCENARIO(a_look_that_finds_nothing_does_not_wake_it, NULL, NULL)
{
    lend_shared();
    free_lent(NULL);
    let_it_sleep();
    TIDE_REQUIRE(tide_upkeep_look() == 0 && !is_awake());
}

SCENARIO(blocks_put_in_the_depot_wake_it, NULL, NULL)
{
    size_t size = RARE;

    lend(&size);
    let_it_sleep();
    TIDE_REQUIRE(!is_awake());
    TIDE_REQUIRE(tide_depot_put(0, tide_class_of(size), batch_from(lent, 1)));
    TIDE_REQUIRE(is_awake());
}

SCENARIO(blocks_returned_to_the_common_heap_wake_it, NULL, NULL)
{
    lend_shared();
    let_it_sleep();
    TIDE_REQUIRE(!is_awake());
    free_lent(NULL);
    send_foreign_home();
    TIDE_REQUIRE(is_awake());
}

/* ---- Who does it -------------------------------------------------------- */

/* Its mallocs give back in passing what was within the bound. */
static void malloc_until_gone(void)
{
    TIDE_REQUIRE(tide_store_totals().dirty_bytes > 0);
    while (tide_store_totals().dirty_bytes > 0) {
        void *several[200]; /* more than a list has: the slow path is taken */

        for (int n = 0; n < 200; n++)
            several[n] = allocate(RARE);
        free_all(several, 200);
        usleep(1000);
    }
}

SCENARIO(without_maintenance_mallocs_give_back_in_passing, QUICKLY, "TIDEPOOL_MAINTENANCE=off")
{
    take_all();
    free_all(blocks, BLOCKS);
    malloc_until_gone();
    TIDE_REQUIRE(count_threads() == 0);
    tide_check_all();
}

SCENARIO(a_lone_thread_does_it_itself_until_there_is_another, QUICKLY, "TIDEPOOL_MAINTENANCE=auto")
{
    struct peer other;
    struct heap *heap;

    take_all();
    free_all(blocks, BLOCKS);
    malloc_until_gone();
    TIDE_REQUIRE(count_threads() == 0 && state() == TIDE_UPKEEP_DUE);
    peer_start(&other);
    peer_do(&other, get_heap, &heap);
    take_all();
    wait_for_thread();
    TIDE_REQUIRE(state() == TIDE_UPKEEP_RUNNING);
    peer_end(&other);
    free_all(blocks, BLOCKS);
    wait_until_gone();
}

SCENARIO(two_threads_with_little_do_it_themselves, QUICKLY, "TIDEPOOL_MAINTENANCE=auto")
{
    struct peer other;
    struct heap *heap;

    peer_start(&other);
    peer_do(&other, get_heap, &heap);
    while (tide_upkeep_mapped() <= TIDE_UNMAINTAINED_BYTES)
        allocate(LARGE);
    TIDE_REQUIRE(tide_upkeep_mapped() < TIDE_MAINTAINED_BYTES);
    allocate(LARGE);
    TIDE_REQUIRE(count_threads() == 0 && state() == TIDE_UPKEEP_DUE);
    peer_end(&other);
}

/* ---- Threads that sleep ------------------------------------------------ */

static struct peer sleeper;

/* Starts a thread that sleeps and has used memory. */
static struct heap *start_sleeper(void)
{
    static struct heap *heap;
    size_t size = RARE;

    peer_start(&sleeper);
    peer_do(&sleeper, get_heap, &heap);
    peer_do(&sleeper, lend, &size);
    peer_do(&sleeper, free_lent, NULL);
    TIDE_REQUIRE(!is_bare(heap));
    return heap;
}

SCENARIO(threads_that_sleep_give_back_what_they_keep, QUICKLY, NULL)
{
    const struct heap *heap = start_sleeper();

    take_all();
    wait_for_thread();
    while (tide_os_barrier() && !is_bare(heap))
        usleep(1000);
    peer_do(&sleeper, allocate_and_end, NULL);
    peer_end(&sleeper);
    tide_check_all();
}

SCENARIO(without_maintenance_others_mallocs_let_them, QUICKLY, "TIDEPOOL_MAINTENANCE=off")
{
    const struct heap *heap = start_sleeper();
    void *several[64];

    take_all();
    while (tide_os_barrier() && !is_bare(heap)) {
        for (int n = 0; n < 64; n++)
            several[n] = allocate(RARE);
        free_all(several, 64);
        usleep(1000);
    }
    TIDE_REQUIRE(count_threads() == 0);
    peer_end(&sleeper);
    tide_check_all();
}

static sem_t may_leave;

static void stay_inside(void *is_there)
{
    struct heap *heap = tide_api_enter();

    sem_post(is_there);
    while (sem_wait(&may_leave) != 0)
        ;
    tide_heap_leave(heap);
}

/* Who is inside its heap can't be helped. */
SCENARIO(it_sleeps_though_a_thread_is_inside, QUICKLY, NULL)
{
    const struct heap *heap = start_sleeper();
    sem_t is_there;

    sem_init(&may_leave, 0, 0);
    sem_init(&is_there, 0, 0);
    peer_ask(&sleeper, stay_inside, &is_there);
    while (sem_wait(&is_there) != 0)
        ;
    take_all();
    wait_for_thread();
    while (atomic_load(&tide_bell) != TIDE_BELL_ASLEEP)
        usleep(1000);
    TIDE_REQUIRE(!is_bare(heap));
    sem_post(&may_leave);
    peer_wait(&sleeper);
    peer_end(&sleeper);
}

/* ---- Settings, other processes, other threads -------------------------- */

SCENARIO(with_a_decay_of_minus_one_all_stays, "TIDEPOOL_DECAY_MS=-1", NULL)
{
    take_all();
    TIDE_REQUIRE(state() == TIDE_UPKEEP_SETTLED && count_threads() == 0);
}

SCENARIO(a_fork_child_has_a_thread_when_it_needs_one, QUICKLY, NULL)
{
    int status;

    use_and_wait();
    if (fork() == 0) {
        TIDE_REQUIRE(count_threads() == 0);
        use_and_wait();
        _exit(0);
    }
    TIDE_REQUIRE(wait(&status) > 0 && status == 0);
    TIDE_REQUIRE(count_threads() == 1);
}

static void *work(void *unused)
{
    void *own[64];

    for (int round = 0; round < 40; round++) {
        for (int n = 0; n < 64; n++) {
            own[n] = allocate((size_t)100 << (n % 12));
            memset(own[n], n, 100);
        }
        free_all(own, 64);
    }
    return unused;
}

SCENARIO(it_ends_with_the_main_thread, QUICKLY, NULL)
{
    use_and_wait();
    tide_thread_end();
    while (count_threads() > 0)
        usleep(1000);
    take_all();
    TIDE_REQUIRE(count_threads() == 0);
}

SCENARIO(it_goes_on_beside_threads_that_allocate, "TIDEPOOL_DECAY_MS=0", NULL)
{
    pthread_t threads[4];

    take_all();
    wait_for_thread();
    for (int n = 0; n < 4; n++)
        TIDE_REQUIRE(pthread_create(&threads[n], NULL, work, NULL) == 0);
    for (int n = 0; n < 4; n++)
        pthread_join(threads[n], NULL);
    free_all(blocks, BLOCKS);
    wait_until_gone();
    tide_check_all();
}

/* ---- Pressure ----------------------------------------------------------- */

/* By its clock nothing would go before the alarm ends the program. */
#define NEVER "TIDEPOOL_DECAY_MS=86400000"
#define WORKER "/sys/fs/cgroup/service/worker/"

/* The thread is asleep for a day, and files change under it. */
SCENARIO(all_goes_when_the_control_group_is_nearly_full, NEVER, NULL)
{
    char *large;

    begin_v2();
    write_file(WORKER "memory.max", "100000\n");
    take_all();
    large = allocate((size_t)20 << 20);
    wait_for_thread();
    run_thread(allocate_and_end, NULL);
    free_all(blocks, BLOCKS);
    tide_free(large);
    TIDE_REQUIRE(kept() > 0 && pools_of_size(RARE) > 0);
    write_file(WORKER "memory.current", "95000\n");
    wait_until_gone();
    while (pools_of_size(RARE) > 0)
        usleep(1000);
    take_all(); /* and again, while it lasts */
    free_all(blocks, BLOCKS);
    wait_until_gone();
    end_tree();
    tide_check_all();
}

SCENARIO(all_goes_when_tasks_wait_for_memory, NEVER, NULL)
{
    begin_tree();
    take_all();
    wait_for_thread();
    free_all(blocks, BLOCKS);
    TIDE_REQUIRE(kept() > 0);
    write_file("/proc/pressure/memory", "some avg10=7.30 avg60=0.00 avg300=0.00 total=1\n");
    wait_until_gone();
    end_tree();
}

/* The thread is there for its clock, and takes no number from the program. */
SCENARIO(watching_takes_no_file_from_the_program, NEVER, NULL)
{
    begin_v2();
    write_file(WORKER "memory.max", "100000\n");
    write_file(WORKER "memory.current", "95000\n");
    take_all();
    wait_for_thread();
    free_all(blocks, BLOCKS);
    for (int n = 0; n < 20000; n++) {
        int file = dup(2), again;

        TIDE_REQUIRE(file >= 0 && close(file) == 0);
        again = dup(2);
        TIDE_REQUIRE(again == file && close(again) == 0);
    }
    wait_until_gone();
    end_tree();
}

SCENARIO(it_can_be_told_not_to_watch, NEVER, "TIDEPOOL_PRESSURE=off")
{
    begin_v2();
    write_file(WORKER "memory.max", "100000\n");
    write_file(WORKER "memory.current", "95000\n");
    take_all();
    wait_for_thread();
    free_all(blocks, BLOCKS);
    usleep(1300000); /* longer than it would watch for */
    TIDE_REQUIRE(kept() > 0);
    end_tree();
}

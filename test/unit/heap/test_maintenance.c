/* test_maintenance.c - heap/maintenance.h: the thread is there when there is
 * something to give back, and gives it back while the program does nothing
 *
 * Nothing here depends on how fast: what is waited for comes, or the program
 * is ended by its alarm.
 */
#include "heap/maintenance.h"

#include <dirent.h>

#include "heaps.h"

enum { BLOCKS = 256, LARGE = TIDE_RUN_MAX / 2 };
#define QUICKLY "TIDEPOOL_DECAY_MS=10"

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

static void take_all(void)
{
    for (int n = 0; n < BLOCKS; n++) {
        blocks[n] = allocate(LARGE);
        memset(blocks[n], 1, LARGE);
    }
}

static void wait_until_gone(void)
{
    while (tide_arena_returnable() + tide_huge_totals().cached_bytes > 0)
        usleep(1000);
}

static void use_and_wait(void)
{
    take_all();
    wait_for_thread();
    free_all(blocks, BLOCKS);
    wait_until_gone();
}

#define SCENARIO(name, setting, more)                                                        \
    Test(maintenance, name)                                                                   \
    {                                                                                         \
        assert_ended_well(run_program(#name, setting, more));                                 \
    }                                                                                         \
    PROGRAM(name)

SCENARIO(a_small_program_has_no_thread, QUICKLY, NULL)
{
    tide_free(allocate(LARGE));
    TIDE_REQUIRE(count_threads() == 0 && !tide_relaxed(&tide_maintenance_is_settled));
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
    tide_api_check();
}

SCENARIO(huge_blocks_go, QUICKLY, NULL)
{
    char *huge = allocate((size_t)20 << 20);

    memset(huge, 1, (size_t)20 << 20);
    wait_for_thread();
    tide_free(huge);
    wait_until_gone();
    TIDE_REQUIRE(tide_memory_at(huge) == TIDE_FOREIGN);
}

enum { RARE = 5000 }; /* a size that nobody else has blocks of */

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

SCENARIO(without_maintenance_all_stays, QUICKLY, "TIDEPOOL_MAINTENANCE=off")
{
    take_all();
    free_all(blocks, BLOCKS);
    TIDE_REQUIRE(tide_relaxed(&tide_maintenance_is_settled) && count_threads() == 0);
    TIDE_REQUIRE(tide_arena_returnable() > 0);
}

SCENARIO(with_a_decay_of_minus_one_all_stays, "TIDEPOOL_DECAY_MS=-1", NULL)
{
    take_all();
    TIDE_REQUIRE(tide_relaxed(&tide_maintenance_is_settled) && count_threads() == 0);
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
    tide_maintenance_end();
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
    tide_api_check();
}

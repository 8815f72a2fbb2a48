/* test_records.c - os/records.h */
#include "os/records.h"

#include <errno.h>
#include <stdatomic.h>

#include <sys/syscall.h>

#include "../unit.h"
#include "os/limits.h"
#include "os/map.h"

enum { COUNT = 3000, MORE_THAN_A_CHUNK = 1 << 20 };

/* In place of the C library's: what another thread does meanwhile. */
static void (*meanwhile)(void);

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    void (*now)(void) = meanwhile;

    meanwhile = NULL;
    if (now)
        now();
    return (void *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
}

static char *take(size_t bytes)
{
    char *record = tide_os_record(bytes);

    cr_assert(record);
    return record;
}

Test(records, a_record_is_zero_and_on_its_own_cache_lines)
{
    for (size_t bytes = 1; bytes <= 1000; bytes += 37) {
        char *record = take(bytes);

        cr_assert(is_aligned(record, TIDE_CACHE_LINE));
        cr_assert(is_zero(record, bytes));
        memset(record, 0xa5, bytes);
    }
}

Test(records, records_do_not_overlap)
{
    static unsigned *records[COUNT];

    for (unsigned n = 0; n < COUNT; n++) {
        size_t bytes = 100 + n % 7 * 100;

        records[n] = (unsigned *)take(bytes);
        for (size_t at = 0; at < bytes / sizeof(unsigned); at++)
            records[n][at] = n;
    }
    for (unsigned n = 0; n < COUNT; n++)
        for (size_t at = 0; at < 100 / sizeof(unsigned); at++)
            cr_assert_eq(records[n][at], n);
}

Test(records, bytes_handed_out_are_counted_in_cache_lines)
{
    size_t before = tide_os_record_bytes(), sum = 0;

    for (size_t bytes = 1; bytes <= 1000; bytes += 37) {
        take(bytes);
        sum += tide_round_up(bytes, TIDE_CACHE_LINE);
    }
    cr_assert_eq(tide_os_record_bytes() - before, sum);
}

Test(records, a_record_may_be_larger_than_a_chunk)
{
    char *record = take(MORE_THAN_A_CHUNK);

    cr_assert(is_zero(record, MORE_THAN_A_CHUNK));
    memset(record, 0xa5, MORE_THAN_A_CHUNK);
    memset(take(64), 0x5a, 64);
    for (size_t n = 0; n < MORE_THAN_A_CHUNK; n++)
        cr_assert_eq((unsigned char)record[n], 0xa5);
}

Test(records, without_memory_there_is_no_record_and_no_count)
{
    size_t before = tide_os_record_bytes();

    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_null(tide_os_record(MORE_THAN_A_CHUNK));
    cr_assert_eq(errno, ENOMEM);
    tide_os_fail_map_every(0);
    cr_assert_eq(tide_os_record_bytes(), before);
    take(MORE_THAN_A_CHUNK);
}

Test(records, a_failure_does_not_lose_the_rest_of_the_chunk)
{
    char *first = take(64), *second = take(64);

    if (second != first + 64) /* the chunk ended just there */
        first = second, second = take(64);
    tide_os_fail_map_every(1);
    cr_assert_null(tide_os_record(MORE_THAN_A_CHUNK));
    cr_assert_eq(take(64), second + 64);
    tide_os_fail_map_every(0);
}

static void take_many(void *mark)
{
    for (int n = 0; n < COUNT; n++) {
        _Atomic int *record = tide_os_record(64);

        TIDE_REQUIRE(record && atomic_exchange(record, *(int *)mark) == 0);
    }
}

Test(records, threads_get_different_records)
{
    size_t before = tide_os_record_bytes();
    struct peer peers[3];
    int marks[3] = { 1, 2, 3 };

    for (int n = 0; n < 3; n++) {
        peer_start(&peers[n]);
        peer_ask(&peers[n], take_many, &marks[n]);
    }
    for (int n = 0; n < 3; n++) {
        peer_wait(&peers[n]);
        peer_end(&peers[n]);
    }
    cr_assert_geq(tide_os_record_bytes() - before, 3 * COUNT * 64);
}

/* ---- A new chunk ---------------------------------------------------------- */

enum { CHUNK = 64 * 1024 };

static char *taken; /* by the other thread */

static void take_on_thread(void *bytes)
{
    taken = tide_os_record(*(size_t *)bytes);
}

/* While this thread maps a chunk, another needs one too and is not held up. */
static void take_meanwhile(void)
{
    size_t bytes = CHUNK / 2;

    run_thread(take_on_thread, &bytes);
}

static void use_up_chunk(void)
{
    for (size_t before = tide_os_limits_mapped(); tide_os_limits_mapped() == before;)
        take(64);
    take(CHUNK - 64);
}

Test(records, no_lock_is_held_while_a_chunk_is_mapped)
{
    char *record;
    size_t before;

    use_up_chunk();
    before = tide_os_limits_mapped();
    meanwhile = take_meanwhile;
    record = take(CHUNK / 4);
    cr_assert(taken, "the other thread got its record");
    cr_assert_eq(record, taken + CHUNK / 2, "from the other thread's chunk");
    cr_assert_eq(tide_os_limits_mapped(), before + CHUNK, "the second one was given back");
    memset(taken, 1, CHUNK / 2);
    cr_assert(is_zero(record, CHUNK / 4));
}

Test(records, a_chunk_is_used_if_the_other_threads_has_no_room)
{
    char *record;

    use_up_chunk();
    meanwhile = take_meanwhile;
    record = take(CHUNK * 3 / 4);
    cr_assert(taken);
    memset(record, 1, CHUNK * 3 / 4);
    cr_assert(is_zero(taken, CHUNK / 2));
    cr_assert_eq(take(CHUNK / 4), record + CHUNK * 3 / 4);
}

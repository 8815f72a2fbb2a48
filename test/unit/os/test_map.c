/* test_map.c - os/map.h: memory from the kernel, and the kernel saying no */
#include "os/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "../unit.h"
#include "os/limits.h"

#define PAGE tide_os_page_bytes

/* ---- In place of the C library's: refuse when asked to ------------------ */

static bool refuses_munmap, refuses_madvise, refuses_mremap;
static bool is_old; /* as before 4.17, a place is a hint */
static size_t most_mapped; /* by one mmap */
static int mmap_error;     /* that mmap fails with; 0: none */

void *mmap(void *start, size_t bytes, int protection, int flags, int file, off_t offset)
{
    most_mapped = bytes > most_mapped ? bytes : most_mapped;
    if (mmap_error) {
        errno = mmap_error;
        return MAP_FAILED;
    }
    flags &= is_old ? ~MAP_FIXED_NOREPLACE : -1;
    return (void *)syscall(SYS_mmap, start, bytes, protection, flags, file, offset);
}

int munmap(void *start, size_t bytes)
{
    if (refuses_munmap) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_munmap, start, bytes);
}

int madvise(void *start, size_t bytes, int advice)
{
    if (refuses_madvise) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, start, bytes, advice);
}

void *mremap(void *start, size_t old_bytes, size_t new_bytes, int flags, ...)
{
    va_list arguments;
    void *target;

    va_start(arguments, flags);
    target = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    if (refuses_mremap) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mremap, start, old_bytes, new_bytes, flags, target);
}

/* ---- Helpers ------------------------------------------------------------ */

/* Whether the kernel could write there for us. */
static bool is_writable(void *address)
{
    int file = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, address, 1);

    close(file);
    return length == 1;
}

static bool are_all_mapped(const char *start, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += PAGE)
        if (!is_mapped(start + n))
            return false;
    return true;
}

static bool is_any_mapped(const char *start, size_t bytes)
{
    for (size_t n = 0; n < bytes; n += PAGE)
        if (is_mapped(start + n))
            return true;
    return false;
}

static char *map_pages(size_t pages)
{
    char *start = tide_os_map(pages * PAGE, PAGE);

    cr_assert(start);
    return start;
}

static char *obtain_pages(size_t pages)
{
    char *start = tide_os_obtain(pages * PAGE, PAGE);

    cr_assert(start);
    return start;
}

/* How many mappings the kernel has there. */
static size_t count_mappings(const char *start, size_t bytes)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long from, to;
    char line[512];
    size_t count = 0;

    cr_assert(maps);
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            count += from < (uintptr_t)start + bytes && to > (uintptr_t)start;
    fclose(maps);
    return count;
}

/* ---- Mapping ------------------------------------------------------------ */

Test(map, the_page_size_is_the_kernels)
{
    cr_assert_eq(PAGE, (size_t)sysconf(_SC_PAGESIZE));
}

Test(map, memory_is_aligned_zero_and_writable)
{
    for (size_t alignment = PAGE; alignment <= 8 * TIDE_ARENA_BYTES; alignment *= 2)
        for (size_t pages = 1; pages <= 9; pages += 4) {
            char *start = tide_os_map(pages * PAGE, alignment);

            cr_assert(start);
            cr_assert(is_aligned(start, alignment));
            cr_assert(is_zero(start, pages * PAGE));
            memset(start, 0xa5, pages * PAGE);
        }
}

Test(map, mappings_do_not_overlap)
{
    enum { COUNT = 50 };
    char *starts[COUNT];

    for (int n = 0; n < COUNT; n++)
        memset(starts[n] = tide_os_map(4 * PAGE, n % 2 ? PAGE : TIDE_ARENA_BYTES), n, 4 * PAGE);
    for (int n = 0; n < COUNT; n++)
        for (size_t at = 0; at < 4 * PAGE; at++)
            cr_assert_eq(starts[n][at], n);
}

Test(map, success_keeps_errno)
{
    errno = ERANGE;
    cr_assert(tide_os_map(TIDE_ARENA_BYTES, TIDE_ARENA_BYTES));
    cr_assert_eq(errno, ERANGE);
}

Test(map, too_much_is_enomem)
{
    errno = 0;
    cr_assert_null(tide_os_map((size_t)1 << 62, PAGE));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(tide_os_map(TIDE_ARENA_BYTES, (size_t)1 << 62));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(tide_os_map(~(PAGE - 1), TIDE_ARENA_BYTES), "with the alignment it overflows");
    cr_assert_eq(errno, ENOMEM);
}

Test(map, every_nth_request_fails_until_told_otherwise)
{
    tide_os_fail_map_every(3);
    for (int n = 1; n <= 9; n++) {
        errno = 0;
        cr_assert_eq(tide_os_map(PAGE, PAGE) == NULL, n % 3 == 0, "request %d", n);
        cr_assert_eq(errno, n % 3 == 0 ? ENOMEM : 0);
    }
    tide_os_fail_map_every(0);
    for (int n = 1; n <= 9; n++)
        cr_assert(tide_os_map(PAGE, PAGE));
}

/* As all of it may have to be locked. */
Test(map, no_more_is_mapped_than_is_asked_for)
{
    for (int n = 0; n < 20; n++) {
        char *last = tide_os_map(TIDE_ARENA_BYTES, TIDE_ARENA_BYTES);

        /* Something is below it, so the kernel is to find a place, mostly unaligned. */
        mmap(last - PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0);
        most_mapped = 0;
        cr_assert(is_aligned(tide_os_map(3 * TIDE_ARENA_BYTES, TIDE_ARENA_BYTES),
                             TIDE_ARENA_BYTES));
        cr_assert_eq(most_mapped, 3 * TIDE_ARENA_BYTES);
    }
}

Test(map, a_refusal_for_want_of_lockable_memory_is_remembered_until_the_next)
{
    cr_assert_not(tide_os_map_was_lock_limited());
    mmap_error = EAGAIN;
    errno = 0;
    cr_assert_null(tide_os_map(PAGE, PAGE));
    mmap_error = 0;
    cr_assert_eq(errno, ENOMEM);
    cr_assert(tide_os_map_was_lock_limited());
    cr_assert(tide_os_map(PAGE, PAGE));
    cr_assert(tide_os_map_was_lock_limited());
    mmap_error = ENOMEM;
    cr_assert_null(tide_os_map(PAGE, PAGE));
    mmap_error = 0;
    cr_assert_not(tide_os_map_was_lock_limited());
}

/* ---- Read-only mappings ------------------------------------------------- */

Test(map, readonly_memory_is_zero_and_becomes_writable_in_parts)
{
    char *start = tide_os_map_readonly(8 * PAGE);

    cr_assert(start);
    cr_assert(is_zero(start, 8 * PAGE));
    cr_assert_not(is_writable(start) || is_writable(start + 7 * PAGE));
    cr_assert(tide_os_make_writable(start + 2 * PAGE, 2 * PAGE));
    cr_assert_not(is_writable(start + 2 * PAGE - 1));
    cr_assert(is_writable(start + 2 * PAGE) && is_writable(start + 4 * PAGE - 1));
    cr_assert_not(is_writable(start + 4 * PAGE));
    cr_assert(is_zero(start, 8 * PAGE));
}

Test(map, readonly_requests_fail_with_the_others)
{
    char *start = tide_os_map_readonly(PAGE);

    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_null(tide_os_map_readonly(PAGE));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_not(tide_os_make_writable(start, PAGE));
    cr_assert_eq(errno, ENOMEM);
    cr_assert_not(is_writable(start));
    tide_os_fail_map_every(0);
    cr_assert(tide_os_make_writable(start, PAGE));
    cr_assert(is_writable(start));
}

Test(map, a_readonly_mapping_can_be_given_back)
{
    char *start = tide_os_map_readonly(8 * PAGE);
    size_t before = tide_os_limits_mapped();

    errno = ERANGE;
    tide_os_unmap_readonly(start, 8 * PAGE);
    cr_assert_eq(errno, ERANGE);
    cr_assert_not(is_any_mapped(start, 8 * PAGE));
    cr_assert_eq(tide_os_limits_mapped(), before);
}

/* ---- Giving back -------------------------------------------------------- */

Test(map, unmapped_memory_is_gone)
{
    char *start = map_pages(4);

    tide_os_unmap(start, 4 * PAGE);
    cr_assert_not(is_any_mapped(start, 4 * PAGE));
}

Test(map, a_part_can_be_unmapped)
{
    char *start = map_pages(4);

    memset(start, 1, 4 * PAGE);
    tide_os_unmap(start + PAGE, 2 * PAGE);
    cr_assert(is_mapped(start) && is_mapped(start + 3 * PAGE));
    cr_assert_not(is_any_mapped(start + PAGE, 2 * PAGE));
    cr_assert_eq(start[PAGE - 1] + start[3 * PAGE], 2);
}

static void check_purge(void)
{
    char *start = map_pages(4);

    memset(start, 1, 4 * PAGE);
    tide_os_purge(start + PAGE, 2 * PAGE);
    cr_assert(are_all_mapped(start, 4 * PAGE));
    cr_assert_eq(start[PAGE - 1] + start[3 * PAGE], 2);
    cr_assert(is_resident(start));
    cr_assert_eq(is_resident(start + PAGE), refuses_madvise);
    cr_assert(is_zero(start + PAGE, 2 * PAGE));
    start[PAGE] = 1;
}

Test(map, purged_memory_reads_as_zero_and_takes_no_memory)
{
    check_purge();
}

Test(map, locked_memory_reads_as_zero_all_the_same)
{
    refuses_madvise = true;
    check_purge();
}

Test(map, giving_back_keeps_errno)
{
    char *start = map_pages(4);

    errno = ERANGE;
    tide_os_purge(start, PAGE);
    tide_os_unmap(start, PAGE);
    refuses_madvise = refuses_munmap = true;
    tide_os_purge(start + PAGE, PAGE);
    tide_os_unmap(start + PAGE, PAGE);
    cr_assert_eq(errno, ERANGE);
}

/* ---- For the store ------------------------------------------------------- */

Test(map, what_is_obtained_is_aligned_zero_and_writable)
{
    for (size_t alignment = PAGE; alignment <= 8 * TIDE_ARENA_BYTES; alignment *= 2) {
        char *start = tide_os_obtain(5 * PAGE, alignment);

        cr_assert(start && is_aligned(start, alignment));
        cr_assert(is_zero(start, 5 * PAGE));
        memset(start, 0xa5, 5 * PAGE);
    }
}

Test(map, what_is_obtained_is_counted_by_who_obtains_it)
{
    size_t before = tide_os_limits_mapped();
    char *start = obtain_pages(4);

    cr_assert_eq(tide_os_limits_mapped(), before);
    cr_assert(tide_os_return(start + PAGE, 2 * PAGE));
    cr_assert(tide_os_obtain_at(start + PAGE, 2 * PAGE));
    cr_assert(tide_os_renew(start, 4 * PAGE));
    cr_assert_eq(tide_os_limits_mapped(), before);
    tide_os_limits_set(before, before);
    cr_assert(tide_os_obtain(PAGE, PAGE), "nor has it a limit");
    tide_os_limits_set(TIDE_NO_LIMIT, TIDE_NO_LIMIT);
}

Test(map, obtaining_fails_with_the_other_requests)
{
    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_null(tide_os_obtain(PAGE, PAGE));
    cr_assert_eq(errno, ENOMEM);
    tide_os_fail_map_every(0);
    errno = ERANGE;
    cr_assert(tide_os_obtain(PAGE, PAGE));
    cr_assert_eq(errno, ERANGE);
}

Test(map, a_place_that_is_free_is_obtained)
{
    char *start = obtain_pages(4);

    cr_assert(tide_os_return(start + PAGE, 2 * PAGE));
    cr_assert(tide_os_obtain_at(start + PAGE, 2 * PAGE));
    cr_assert(is_zero(start + PAGE, 2 * PAGE));
    memset(start, 1, 4 * PAGE);
}

static void check_place_is_taken(void)
{
    char *start = obtain_pages(4);

    memset(start, 1, 4 * PAGE);
    cr_assert(tide_os_return(start + PAGE, PAGE));
    errno = 0;
    cr_assert_not(tide_os_obtain_at(start + PAGE, 2 * PAGE));
    cr_assert_eq(errno, EEXIST);
    cr_assert_not(is_mapped(start + PAGE));
    cr_assert_eq(start[2 * PAGE], 1);
}

Test(map, a_place_where_something_is_stays_as_it_is)
{
    check_place_is_taken();
}

Test(map, so_it_does_where_the_kernel_maps_elsewhere_instead)
{
    is_old = true;
    check_place_is_taken();
}

Test(map, a_place_is_refused_with_the_other_requests)
{
    char *start = obtain_pages(2);

    cr_assert(tide_os_return(start, PAGE));
    tide_os_fail_map_every(1);
    errno = 0;
    cr_assert_not(tide_os_obtain_at(start, PAGE));
    cr_assert_eq(errno, ENOMEM);
    tide_os_fail_map_every(0);
    cr_assert_not(is_mapped(start));
    cr_assert(tide_os_obtain_at(start, PAGE));
}

Test(map, what_is_returned_is_gone)
{
    char *start = obtain_pages(4);

    memset(start, 1, 4 * PAGE);
    errno = ERANGE;
    cr_assert(tide_os_return(start + PAGE, 2 * PAGE));
    cr_assert_eq(errno, ERANGE);
    cr_assert_not(is_any_mapped(start + PAGE, 2 * PAGE));
    cr_assert_eq(start[PAGE - 1] + start[3 * PAGE], 2);
}

Test(map, what_the_kernel_cannot_unmap_stays_with_who_returns_it)
{
    char *start = obtain_pages(4);

    memset(start, 1, 4 * PAGE);
    refuses_munmap = true;
    errno = ERANGE;
    cr_assert_not(tide_os_return(start, 4 * PAGE));
    cr_assert_eq(errno, ERANGE);
    refuses_munmap = false;
    for (size_t n = 0; n < 4 * PAGE; n++)
        cr_assert_eq(start[n], 1);
    cr_assert_neq(obtain_pages(4), start, "it isn't kept for others");
}

/* ---- One mapping again ---------------------------------------------------- */

static char *obtain_patched(void)
{
    char *start = obtain_pages(8);

    memset(start, 1, 8 * PAGE);
    cr_assert_eq(mprotect(start + 2 * PAGE, PAGE, PROT_READ), 0);
    cr_assert_eq(mprotect(start + 5 * PAGE, PAGE, PROT_NONE), 0);
    cr_assert_eq(count_mappings(start, 8 * PAGE), 5);
    return start;
}

Test(map, what_is_renewed_is_one_mapping_without_pages)
{
    char *start = obtain_patched();

    errno = ERANGE;
    cr_assert(tide_os_renew(start, 8 * PAGE));
    cr_assert_eq(errno, ERANGE);
    cr_assert_eq(count_mappings(start, 8 * PAGE), 1);
    for (size_t n = 0; n < 8; n++)
        cr_assert_not(is_resident(start + n * PAGE));
    cr_assert(is_zero(start, 8 * PAGE));
    memset(start, 2, 8 * PAGE);
}

Test(map, what_the_kernel_cannot_renew_is_as_it_was)
{
    char *start = obtain_patched();

    mmap_error = ENOMEM;
    errno = ERANGE;
    cr_assert_not(tide_os_renew(start, 8 * PAGE));
    mmap_error = 0;
    cr_assert_eq(errno, ERANGE);
    cr_assert_eq(count_mappings(start, 8 * PAGE), 5);
    cr_assert_eq(start[0] + start[8 * PAGE - 1], 2);
}

/* ---- Moving ------------------------------------------------------------- */

Test(map, moving_takes_the_pages_along_and_leaves_the_range)
{
    char *start = obtain_pages(5), *target = obtain_pages(7);

    for (size_t n = 0; n < 5; n++)
        memset(start + n * PAGE, (int)n + 1, PAGE);
    errno = ERANGE;
    if (!tide_os_move_pages(start, 5 * PAGE, target))
        cr_skip_test("the kernel can't move pages without their range (before 5.7)");
    cr_assert_eq(errno, ERANGE);
    for (size_t n = 0; n < 5 * PAGE; n++)
        cr_assert_eq(target[n], (char)(n / PAGE + 1));
    cr_assert(is_zero(target + 5 * PAGE, 2 * PAGE));
    memset(target, 9, 7 * PAGE);
    cr_assert(are_all_mapped(start, 5 * PAGE));
    for (size_t n = 0; n < 5; n++)
        cr_assert_not(is_resident(start + n * PAGE));
    cr_assert(is_zero(start, 5 * PAGE));
    memset(start, 8, 5 * PAGE);
    cr_assert_eq(target[0], 9);
}

Test(map, a_move_asks_for_no_address_space)
{
    char *start = obtain_pages(1), *target = obtain_pages(1);

    *start = 1;
    tide_os_fail_map_every(1);
    if (!tide_os_move_pages(start, PAGE, target))
        cr_skip_test("the kernel can't move pages without their range (before 5.7)");
    cr_assert_eq(*target, 1);
}

Test(map, a_move_the_kernel_refuses_changes_nothing)
{
    char *start = obtain_pages(3), *target = obtain_pages(3);

    memset(start, 1, 3 * PAGE);
    memset(target, 2, 3 * PAGE);
    refuses_mremap = true;
    errno = ERANGE;
    cr_assert_not(tide_os_move_pages(start, 3 * PAGE, target));
    cr_assert_eq(errno, ERANGE);
    for (size_t n = 0; n < 3 * PAGE; n++)
        cr_assert(start[n] == 1 && target[n] == 2);
}

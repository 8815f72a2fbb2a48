/* test_huge_pages.c - os/huge_pages.h: what the kernel is asked, and what it says */
#include "os/huge_pages.h"

#include <errno.h>

#include "os/map.h"
#include "smaps.h"

static char *map_two(void)
{
    char *start = tide_os_map(2 * TIDE_HUGE_PAGE_BYTES, 2 * TIDE_HUGE_PAGE_BYTES);

    cr_assert(start);
    return start;
}

/* ---- Transparent huge pages --------------------------------------------- */

Test(huge_pages, the_mode_is_the_systems)
{
    enum tide_huge_pages mode = tide_os_huge_pages();
    char text[100];

    cr_assert_neq(mode, TIDE_HUGE_PAGES_UNKNOWN);
    cr_assert_eq(mode, tide_os_huge_pages());
    read_file("/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/enabled", text, sizeof text);
    if (text[0] == '\0' || strstr(text, "[inherit]"))
        read_file("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text);
    if (sysconf(_SC_PAGESIZE) == 4096) {
        cr_assert_eq(mode == TIDE_HUGE_PAGES_ALWAYS, strstr(text, "[always]") != NULL);
        cr_assert_eq(mode == TIDE_HUGE_PAGES_MADVISE, strstr(text, "[madvise]") != NULL);
    } else {
        cr_assert_eq(mode, TIDE_HUGE_PAGES_NEVER, "huge pages are not of 2 MiB");
    }
}

Test(huge_pages, ranges_are_marked)
{
    char *start = map_two(), *second = start + TIDE_HUGE_PAGE_BYTES;

    if (!has_transparent())
        cr_skip_test("the system has transparent huge pages off");
    cr_assert_not(has_flag(start, "hg") || has_flag(start, "nh"));
    cr_assert(tide_os_ask_huge_pages(start, TIDE_HUGE_PAGE_BYTES));
    cr_assert(has_flag(start, "hg") && !has_flag(second, "hg"));
    cr_assert(tide_os_refuse_huge_pages(start, TIDE_HUGE_PAGE_BYTES));
    cr_assert(has_flag(start, "nh") && !has_flag(start, "hg") && !has_flag(second, "nh"));
}

Test(huge_pages, resident_bytes_are_those_of_touched_pages)
{
    char *start = map_two();
    size_t page = tide_os_page_bytes;

    tide_os_refuse_huge_pages(start, 2 * TIDE_HUGE_PAGE_BYTES);
    cr_assert_eq(tide_os_resident_bytes(start), 0);
    start[0] = start[7 * page] = start[TIDE_HUGE_PAGE_BYTES - 1] = 1;
    start[TIDE_HUGE_PAGE_BYTES] = 1;
    cr_assert_eq(tide_os_resident_bytes(start), 3 * page);
    memset(start, 1, TIDE_HUGE_PAGE_BYTES);
    cr_assert_eq(tide_os_resident_bytes(start), TIDE_HUGE_PAGE_BYTES);
}

Test(huge_pages, collapse_makes_a_huge_page_of_what_is_there)
{
    char *start = map_two();

    memset(start, 7, TIDE_HUGE_PAGE_BYTES - tide_os_page_bytes);
    if (!has_transparent() || !tide_os_collapse(start, TIDE_HUGE_PAGE_BYTES))
        cr_skip_test("the kernel doesn't collapse pages here");
    cr_assert_eq(transparent_bytes(start), TIDE_HUGE_PAGE_BYTES);
    for (size_t n = 0; n < TIDE_HUGE_PAGE_BYTES; n++)
        cr_assert_eq(start[n], n < TIDE_HUGE_PAGE_BYTES - tide_os_page_bytes ? 7 : 0);
}

Test(huge_pages, what_the_kernel_refuses_is_false_and_keeps_errno)
{
    char *start = map_two();
    bool is_told;

    tide_os_unmap(start, 2 * TIDE_HUGE_PAGE_BYTES);
    errno = ERANGE;
    cr_assert_not(tide_os_ask_huge_pages(start, TIDE_HUGE_PAGE_BYTES));
    cr_assert_not(tide_os_refuse_huge_pages(start, TIDE_HUGE_PAGE_BYTES));
    cr_assert_not(tide_os_collapse(start, TIDE_HUGE_PAGE_BYTES));
    cr_assert_not(tide_os_populate(start, TIDE_HUGE_PAGE_BYTES, &is_told));
    cr_assert_eq(tide_os_resident_bytes(start), 0);
    cr_assert_null(tide_os_map_huge_pages((size_t)1 << 46, TIDE_HUGE_PAGE_BYTES));
    tide_os_huge_pages();
    tide_os_huge_page_pool();
    cr_assert_eq(errno, ERANGE);
}

/* ---- The kernel's pool -------------------------------------------------- */

Test(huge_pages, populate_takes_the_pages)
{
    char *start = map_two();
    bool is_told;

    if (!tide_os_populate(start, TIDE_HUGE_PAGE_BYTES, &is_told))
        cr_skip_test("the kernel can't populate (before 5.14)");
    cr_assert(is_told);
    cr_assert_eq(tide_os_resident_bytes(start), TIDE_HUGE_PAGE_BYTES);
    cr_assert_eq(tide_os_resident_bytes(start + TIDE_HUGE_PAGE_BYTES), 0);
}

Test(huge_pages, the_pools_figures_are_the_systems)
{
    struct tide_huge_page_pool pool = tide_os_huge_page_pool();

    cr_assert_leq(pool.available, pool.pages);
}

Test(huge_pages, more_than_the_pool_has_is_refused)
{
    size_t pages = tide_os_huge_page_pool().pages + 100000;

    cr_assert_null(tide_os_map_huge_pages(pages * TIDE_HUGE_PAGE_BYTES, TIDE_HUGE_PAGE_BYTES));
}

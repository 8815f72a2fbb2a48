/* test_kernel.c - os/kernel.h: numbers, lines and tables in the kernel's files */
#include "os/kernel.h"

#include "../machine/trees.h"

#define IN_TREE(name) Test(kernel, name, .init = begin_tree, .fini = end_tree)

static bool number_in(const char *text, uint64_t *number)
{
    write_file("/number", text);
    return tide_os_kernel_number("/number", number);
}

IN_TREE(a_number_is_read)
{
    uint64_t number = 7;

    cr_assert(number_in("123\n", &number) && number == 123);
    cr_assert(number_in("0", &number) && number == 0);
    cr_assert(number_in("18446744073709551615\n", &number) && number == UINT64_MAX);
    cr_assert(number_in("12 34\n", &number) && number == 12);
}

IN_TREE(what_is_no_number_is_unknown)
{
    static const char *const texts[] = { "", "\n", "max\n", "-1\n", " 5\n",
                                         "18446744073709551616\n" };
    uint64_t number = 7;

    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
        cr_assert(!number_in(texts[n], &number), "\"%s\"", texts[n]);
    errno = EXDEV;
    cr_assert_not(tide_os_kernel_number("/absent", &number));
    cr_assert_not(tide_os_kernel_number("/", &number), "a folder");
    cr_assert_eq(errno, EXDEV);
    cr_assert_eq(number, 7);
}

IN_TREE(a_path_longer_than_the_room_is_unknown)
{
    char path[4096] = "/";
    uint64_t number;

    memset(path + 1, 'a', sizeof path - 2);
    cr_assert_not(tide_os_kernel_number(path, &number));
}

static struct tide_lines lines;

static void open_text(const char *text)
{
    write_file("/lines", text);
    cr_assert(tide_os_lines_open(&lines, "/lines"));
}

static void assert_next(const char *expected)
{
    const char *line = tide_os_lines_next(&lines);

    cr_assert(line && strcmp(line, expected) == 0, "%.50s instead of %.50s", line, expected);
}

static void assert_end(void)
{
    cr_assert_null(tide_os_lines_next(&lines));
    cr_assert_null(tide_os_lines_next(&lines));
    tide_os_lines_close(&lines);
}

IN_TREE(lines_are_given_one_by_one)
{
    open_text("first\n\nthird\n");
    assert_next("first");
    assert_next("");
    assert_next("third");
    assert_end();
    open_text("no end");
    assert_next("no end");
    assert_end();
    open_text("");
    assert_end();
}

/* With one line of each length round the room, and one far longer. */
IN_TREE(long_lines_are_cut_and_those_after_them_are_whole)
{
    static const size_t lengths[] = { TIDE_LINE_ROOM - 3, TIDE_LINE_ROOM - 2, TIDE_LINE_ROOM - 1,
                                      TIDE_LINE_ROOM,     TIDE_LINE_ROOM + 1, 3 * TIDE_LINE_ROOM };

    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
        for (int is_ended = 0; is_ended < 2; is_ended++) {
            static char text[4 * TIDE_LINE_ROOM], expected[TIDE_LINE_ROOM];
            size_t given = lengths[n] < TIDE_LINE_ROOM - 1 ? lengths[n] : TIDE_LINE_ROOM - 1;

            memset(text, 'x', lengths[n]);
            strcpy(text + lengths[n], is_ended ? "\nafter\n" : "");
            memset(expected, 'x', given);
            expected[given] = '\0';
            open_text(text);
            assert_next(expected);
            if (is_ended)
                assert_next("after");
            assert_end();
        }
}

IN_TREE(lines_are_the_files_over_many_reads)
{
    static char text[20000];
    char line[20];
    int count = 0;

    for (char *at = text; at < text + sizeof text - 20; count++)
        at += sprintf(at, "line %d\n", count);
    open_text(text);
    for (int n = 0; n < count; n++) {
        sprintf(line, "line %d", n);
        assert_next(line);
    }
    assert_end();
}

IN_TREE(lines_are_counted)
{
    size_t count = 7;

    write_file("/lines", "a\nb\n\nc");
    cr_assert(tide_os_kernel_count_lines("/lines", &count) && count == 3);
    write_file("/lines", "");
    cr_assert(tide_os_kernel_count_lines("/lines", &count) && count == 0);
    cr_assert_not(tide_os_kernel_count_lines("/absent", &count));
}

IN_TREE(a_value_is_found_by_its_whole_key)
{
    uint64_t value = 7;

    write_file("/stat", "anon 11\ninactive_file_more 12\ninactive_file 13\nMap: 14\n");
    cr_assert(tide_os_kernel_value("/stat", "inactive_file", &value) && value == 13);
    cr_assert(tide_os_kernel_value("/stat", "Map", &value) && value == 14);
    cr_assert_not(tide_os_kernel_value("/stat", "inactive", &value));
    cr_assert_not(tide_os_kernel_value("/absent", "anon", &value));
}

IN_TREE(meminfo_is_in_bytes)
{
    uint64_t bytes;

    write_file("/proc/meminfo", "MemTotal:       24684096 kB\nMemFree:   18014398509481984 kB\n");
    cr_assert(tide_os_kernel_meminfo("MemTotal", &bytes));
    cr_assert_eq(bytes, UINT64_C(24684096) * 1024);
    cr_assert_not(tide_os_kernel_meminfo("MemFree", &bytes), "too large to be true");
}

Test(kernel, this_machine_tells_its_memory)
{
    uint64_t bytes = 0;

    cr_assert(tide_os_kernel_meminfo("MemTotal", &bytes));
    cr_assert_gt(bytes, 1 << 20);
}

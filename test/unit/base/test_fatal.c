/* test_fatal.c - base/fatal.h: one line, in one piece, and the right end */
#include "base/fatal.h"

#include <errno.h>

#include "../unit.h"

enum { LONG_BYTES = 5000 };

static char long_text[LONG_BYTES + 1];
static char text[TEXT_BYTES];

static void warn(void)
{
    tide_base_warn("%s is %d", "seven", 7);
}

Test(fatal, a_warning_is_a_line_with_the_prefix)
{
    capture(warn, text);
    cr_assert_str_eq(text, "tidepool: seven is 7\n");
}

static void print(void)
{
    tide_base_print("%-5s|\n%d", "ab", 3);
    tide_base_print(" more");
}

Test(fatal, print_adds_nothing)
{
    capture(print, text);
    cr_assert_str_eq(text, "ab   |\n3 more");
}

static void end_fatally(void)
{
    tide_base_fatal("no %s left", "tea");
}

Test(fatal, fatal_says_why_and_aborts)
{
    assert_aborted(run_apart(end_fatally), "no tea left");
}

static int something;

static void misuse(void)
{
    tide_base_misuse("free", &something, "it has %zu bytes", sizeof something);
}

Test(fatal, misuse_names_the_call_and_the_pointer)
{
    assert_aborted(run_apart(misuse), "free(%p): it has %zu bytes", (void *)&something,
                   sizeof something);
}

static void check_is_cut_line(void)
{
    size_t length = strlen(text), prefix = strlen("tidepool: ");

    cr_assert(length > prefix && length < LONG_BYTES);
    cr_assert_eq(strchr(text, '\n'), text + length - 1, "one line, ended");
    cr_assert_eq(strspn(text + prefix, "x"), length - prefix - 1, "nothing but the message");
}

static void warn_at_length(void)
{
    tide_base_warn("%s", long_text);
}

Test(fatal, a_message_that_is_too_long_is_cut_but_remains_a_line)
{
    memset(long_text, 'x', LONG_BYTES);
    capture(warn_at_length, text);
    check_is_cut_line();
}

static void fill_line_exactly(void)
{
    tide_base_warn("%.*s", (int)(strlen(text) - strlen("tidepool: \n")), long_text);
}

Test(fatal, a_message_that_just_fits_is_not_cut)
{
    size_t longest;

    memset(long_text, 'x', LONG_BYTES);
    capture(warn_at_length, text);
    longest = strlen(text);
    capture(fill_line_exactly, text);
    cr_assert_eq(strlen(text), longest);
    check_is_cut_line();
}

static void end_at_length(void)
{
    tide_base_fatal("%s", long_text);
}

Test(fatal, a_fatal_message_is_cut_the_same)
{
    struct outcome outcome;

    memset(long_text, 'x', LONG_BYTES);
    outcome = run_apart(end_at_length);
    memcpy(text, outcome.text, TEXT_BYTES);
    check_is_cut_line();
    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT);
}

static void warn_without_stderr(void)
{
    close(STDERR_FILENO);
    errno = ERANGE;
    tide_base_warn("nobody hears this");
    tide_base_print("nor this");
    if (errno != ERANGE)
        _exit(1);
}

Test(fatal, without_stderr_messages_are_lost_and_errno_is_kept)
{
    assert_ended_well(run_apart(warn_without_stderr));
}

static void require(void)
{
    TIDE_REQUIRE(something == 0);
    TIDE_REQUIRE(something == 1);
}

Test(fatal, require_names_the_broken_invariant)
{
    struct outcome outcome = run_apart(require);

    assert_broken(outcome);
    cr_assert(strstr(outcome.text, "test_fatal.c:"));
    cr_assert(strstr(outcome.text, ": broken invariant: something == 1\n"));
}

static int evaluated;

static void assert_false(void)
{
    TIDE_ASSERT(++evaluated == 0);
    if (evaluated != 0)
        _exit(1);
}

Test(fatal, assert_is_for_debug_builds)
{
    struct outcome outcome = run_apart(assert_false);

    if (TIDE_DEBUG)
        assert_broken(outcome);
    else
        assert_ended_well(outcome);
}

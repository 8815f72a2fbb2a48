/* test_options.c - base/options.h: every row of the table, good values and bad */
#include "base/options.h"

#include <ctype.h>

#include "../auxv.h"
#include "../unit.h"

enum kind { CHOICE, COUNT, BYTES, SHARE, TEXT };

static const struct row {
    const char *field;
    enum kind kind;
    int64_t standard, least, most;
    const char *choices, *help;
    size_t offset;
} rows[] = {
#define ROW(field, kind, standard, least, most, choices, help) \
    { #field, kind, standard, least, most, choices, help, offsetof(struct tide_options, field) },
    TIDE_OPTIONS(ROW)
#undef ROW
};

enum { ROWS = sizeof rows / sizeof *rows };

static int64_t field(const struct tide_options *options, const struct row *row)
{
    return *(const int64_t *)((const char *)options + row->offset);
}

/* ---- Reading with the table's defaults before --------------------------- */

static char *const *environment;
static struct tide_options options; /* what reading made of the defaults */
static char warning[TEXT_BYTES];

static void read_environment(void)
{
    struct tide_options saved = tide_options;

    for (int n = 0; n < ROWS; n++)
        *(int64_t *)((char *)&tide_options + rows[n].offset) = rows[n].standard;
    tide_options_read(environment);
    options = tide_options;
    tide_options = saved;
}

static void read_all(char *const *variables)
{
    environment = variables;
    capture(read_environment, warning);
}

static void read_setting(const char *setting)
{
    char *variables[] = { (char *)setting, NULL };

    read_all(variables);
}

static void read_value(const struct row *row, const char *value)
{
    char setting[200] = "TIDEPOOL_", *end = setting + strlen(setting);

    for (const char *letter = row->field; *letter; letter++)
        *end++ = (char)toupper(*letter);
    snprintf(end, sizeof setting - (size_t)(end - setting), "=%s", value);
    read_setting(setting);
}

static void assert_defaults(void)
{
    for (int n = 0; n < ROWS; n++)
        cr_assert_eq(field(&options, &rows[n]), rows[n].standard, "%s", rows[n].field);
}

static void assert_accepted(const struct row *row, const char *text, int64_t value)
{
    read_value(row, text);
    cr_assert_str_empty(warning, "%s", warning);
    cr_assert_eq(field(&options, row), value, "%s=%s gives %ld", row->field, text,
                 (long)field(&options, row));
}

static void assert_refused(const struct row *row, const char *text)
{
    read_value(row, text);
    cr_assert(strstr(warning, "is not understood"), "no warning about %s=\"%s\"", row->field, text);
    cr_assert_eq(strchr(warning, '\n'), warning + strlen(warning) - 1, "one line");
    assert_defaults();
}

static const struct row *row_of_kind(enum kind kind, int after)
{
    for (int n = after; n < ROWS; n++)
        if (rows[n].kind == kind)
            return &rows[n];
    return NULL;
}

#define FOR_ROWS_OF(wanted, row)                           \
    for (const struct row *row = row_of_kind(wanted, 0); row; \
         row = row_of_kind(wanted, (int)(row - rows) + 1))

/* ---- The table itself --------------------------------------------------- */

Test(options, every_default_is_in_its_range)
{
    for (int n = 0; n < ROWS; n++) {
        if (rows[n].kind == TEXT)
            cr_assert_eq(rows[n].standard, 0, "%s", rows[n].field);
        else
            cr_assert_leq(rows[n].least, rows[n].standard, "%s", rows[n].field);
        cr_assert_leq(rows[n].standard, rows[n].most, "%s", rows[n].field);
        cr_assert_str_not_empty(rows[n].help, "%s", rows[n].field);
    }
}

Test(options, the_lock_choices_are_in_the_order_of_their_names)
{
    read_setting("TIDEPOOL_ARENA_LOCK=global");
    cr_assert_eq(options.arena_lock, TIDE_ARENA_LOCK_GLOBAL);
    read_setting("TIDEPOOL_ARENA_LOCK=arena");
    cr_assert_eq(options.arena_lock, TIDE_ARENA_LOCK_ARENA);
}

PROGRAM(defaults)
{
    for (int n = 0; n < ROWS; n++)
        TIDE_REQUIRE(field(&tide_options, &rows[n]) == rows[n].standard);
}

Test(options, without_settings_a_program_has_the_defaults)
{
    struct outcome outcome = run_program("defaults", NULL, NULL);

    assert_ended_well(outcome);
    cr_assert_str_empty(outcome.text);
}

PROGRAM(settings)
{
    TIDE_REQUIRE(tide_options.depot == 2048 && tide_options.shards == 3);
}

Test(options, a_program_starts_with_its_settings)
{
    struct outcome outcome = run_program("settings", "TIDEPOOL_DEPOT=2K", "TIDEPOOL_SHARDS=3");

    assert_ended_well(outcome);
    cr_assert_str_empty(outcome.text);
}

/* ---- Values ------------------------------------------------------------- */

static void check_range(const struct row *row)
{
    char text[32];
    const int64_t inside[] = { row->least, row->least + 1, row->most - 1, row->most };

    for (size_t n = 0; n < sizeof inside / sizeof *inside; n++) {
        snprintf(text, sizeof text, "%ld", (long)inside[n]);
        assert_accepted(row, text, inside[n]);
    }
    snprintf(text, sizeof text, "%ld", (long)row->least - 1);
    assert_refused(row, text);
    snprintf(text, sizeof text, "%ld", (long)row->most + 1);
    assert_refused(row, text);
}

Test(options, numbers_are_accepted_just_in_their_range)
{
    FOR_ROWS_OF(COUNT, row)
        check_range(row);
    FOR_ROWS_OF(BYTES, row)
        check_range(row);
    FOR_ROWS_OF(SHARE, row)
        check_range(row);
}

static void check_not_numbers(const struct row *row)
{
    static const char *const bad[] = {
        "",
        "-",
        "--1",
        "+1",
        " 1",
        "1 ",
        "0 ",
        "1.5",
        "0x10",
        "one",
        "K",
        "1KB",
        "1KK",
        "1E",
        "1 K",
        "1,",
        "99999999999999999999",
        "9223372036854775808",
    };

    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
        assert_refused(row, bad[n]);
}

Test(options, what_is_no_number_is_refused)
{
    FOR_ROWS_OF(COUNT, row)
        check_not_numbers(row);
    FOR_ROWS_OF(BYTES, row)
        check_not_numbers(row);
    FOR_ROWS_OF(SHARE, row)
        check_not_numbers(row);
}

Test(options, counts_have_no_suffix)
{
    FOR_ROWS_OF(COUNT, row) {
        assert_refused(row, "1K");
        assert_refused(row, "0k");
    }
}

Test(options, bytes_may_have_a_suffix_of_either_case)
{
    static const char *const suffixes[] = { "", "Kk", "Mm", "Gg", "Tt" };

    FOR_ROWS_OF(BYTES, row)
        for (int power = 1; power <= 4; power++)
            for (int n = 0; n < 2; n++) {
                char text[3] = { '1', suffixes[power][n], '\0' };
                int64_t value = INT64_C(1) << (10 * power);

                if (value <= row->most)
                    assert_accepted(row, text, value);
                else
                    assert_refused(row, text);
            }
}

Test(options, a_product_that_overflows_is_refused)
{
    FOR_ROWS_OF(BYTES, row) {
        assert_refused(row, "9223372036854775807T");
        assert_refused(row, "16777216T"); /* 2^64: zero, if it wrapped */
    }
}

Test(options, a_share_may_be_a_percentage)
{
    static const char *const bad[] = { "0%", "101%", "%",    "-5%",  "5%%", "5 %",
                                       "5K%", "5%K", "1.5%", "999999999999999999999%" };

    FOR_ROWS_OF(SHARE, row) {
        assert_accepted(row, "1%", -1);
        assert_accepted(row, "80%", -80);
        assert_accepted(row, "100%", -100);
        assert_accepted(row, "2G", INT64_C(2) << 30);
        for (size_t n = 0; n < sizeof bad / sizeof *bad; n++)
            assert_refused(row, bad[n]);
    }
    FOR_ROWS_OF(BYTES, row)
        assert_refused(row, "5%");
    FOR_ROWS_OF(COUNT, row)
        assert_refused(row, "5%");
    cr_assert(row_of_kind(SHARE, 0));
}

static void check_choice(const struct row *row, int64_t value, const char *choice, int length)
{
    char text[32], upper[32];

    snprintf(text, sizeof text, "%.*s", length, choice);
    for (int n = 0; n <= length; n++)
        upper[n] = (char)toupper(text[n]);
    assert_accepted(row, text, value);
    assert_accepted(row, upper, value);
    text[length - 1]++;
    if (!strstr(row->choices, text))
        assert_refused(row, text);
    upper[length] = 'x';
    upper[length + 1] = '\0';
    assert_refused(row, upper);
}

Test(options, choices_are_accepted_by_name_in_any_case)
{
    FOR_ROWS_OF(CHOICE, row) {
        const char *choice = row->choices;

        for (int64_t value = row->least; value <= row->most; value++) {
            int length = (int)strcspn(choice, "|");

            check_choice(row, value, choice, length);
            choice += length + 1;
        }
        assert_refused(row, "");
        assert_refused(row, "|");
        assert_refused(row, row->choices);
        assert_refused(row, "2");
    }
}

Test(options, a_text_is_taken_as_it_is_and_kept)
{
    char setting[] = "TIDEPOOL_PLUGIN_DIR=/a b/C";

    read_setting(setting);
    cr_assert_str_empty(warning);
    memset(setting, 'x', sizeof setting - 1);
    cr_assert_str_eq(tide_options_text(options.plugin_dir), "/a b/C");
    read_setting("TIDEPOOL_DEPOT=1");
    cr_assert_null(tide_options_text(options.plugin_dir));
}

Test(options, a_text_has_a_least_and_a_greatest_length)
{
    char setting[500] = "TIDEPOOL_PLUGIN_DIR=";
    size_t name = strlen(setting);

    read_setting(setting);
    cr_assert(strstr(warning, "it takes 1 to 400 bytes; the default - is kept"), "%s", warning);
    assert_defaults();
    memset(setting + name, 'y', 401);
    read_setting(setting);
    cr_assert(strstr(warning, "it takes 1 to 400 bytes; the default - is kept"), "%s", warning);
    assert_defaults();
    setting[name + 400] = '\0';
    read_setting(setting);
    cr_assert_str_empty(warning);
    cr_assert_eq(strlen(tide_options_text(options.plugin_dir)), 400);
    read_setting(setting); /* no room for another as long */
    assert_defaults();
}

/* ---- Which variables ---------------------------------------------------- */

Test(options, several_variables_are_taken_among_others)
{
    char *variables[] = { (char *)"HOME=/",           (char *)"TIDEPOOL_POOL_STOCK=7",
                          (char *)"DEPOT=1",          (char *)"TIDEPOOL_DEPOT=2",
                          (char *)"xTIDEPOOL_HELP=1", NULL };

    read_all(variables);
    cr_assert_str_empty(warning);
    cr_assert_eq(options.pool_stock, 7);
    cr_assert_eq(options.depot, 2);
    cr_assert_eq(options.help, 0);
}

Test(options, an_unknown_setting_is_named_and_changes_nothing)
{
    read_setting("TIDEPOOL_DEPOTS=4096");
    cr_assert(strstr(warning, "TIDEPOOL_DEPOTS=4096 is unknown"), "%s", warning);
    assert_defaults();
    read_setting("TIDEPOOL_DEPO=4096");
    cr_assert(strstr(warning, "TIDEPOOL_DEPO=4096 is unknown"), "%s", warning);
    assert_defaults();
}

Test(options, a_setting_that_is_gone_is_named_with_what_does_its_work)
{
    read_setting("TIDEPOOL_HUGE_CACHE=1G");
    cr_assert_str_eq(warning, "tidepool: setting TIDEPOOL_HUGE_CACHE=1G is gone: TIDEPOOL_DECAY_MS "
                              "says how long freed memory is kept\n");
    assert_defaults();
    read_setting("TIDEPOOL_ARENA_ORDER=first");
    cr_assert_str_eq(warning, "tidepool: setting TIDEPOOL_ARENA_ORDER=first is gone: the fullest "
                              "arena comes first, always\n");
    assert_defaults();
    read_setting("TIDEPOOL_STASH=4K");
    cr_assert(strstr(warning, "TIDEPOOL_STASH=4K is gone"), "%s", warning);
    cr_assert(strstr(warning, "nothing takes its place"), "%s", warning);
    assert_defaults();
    read_setting("TIDEPOOL_HUGE_CACHES=1G");
    cr_assert(strstr(warning, "TIDEPOOL_HUGE_CACHES=1G is unknown"), "%s", warning);
    assert_defaults();
}

Test(options, a_bad_value_is_named_with_what_is_accepted_and_kept)
{
    read_setting("TIDEPOOL_ARENA_LOCK=none");
    cr_assert(strstr(warning, "TIDEPOOL_ARENA_LOCK=none"), "%s", warning);
    cr_assert(strstr(warning, "arena|global"), "%s", warning);
    cr_assert(strstr(warning, "default arena is kept"), "%s", warning);
    read_setting("TIDEPOOL_DEPOT=2G");
    cr_assert(strstr(warning, "0 to 1G; the default 8K is kept"), "%s", warning);
    read_setting("TIDEPOOL_LIMIT_HARD=200%");
    cr_assert(strstr(warning, "0 to 1024T, 1% to 100%; the default 0 is kept"), "%s", warning);
}

Test(options, a_variable_without_a_value_is_no_setting)
{
    read_setting("TIDEPOOL_DEPOT");
    cr_assert_str_empty(warning);
    assert_defaults();
    read_setting("TIDEPOOL_");
    cr_assert_str_empty(warning);
    assert_defaults();
}

Test(options, no_environment_is_no_settings)
{
    read_all(NULL);
    cr_assert_str_empty(warning);
    assert_defaults();
}

Test(options, a_setuid_program_reads_nothing)
{
    is_secure = true;
    read_setting("TIDEPOOL_DEPOT=1");
    cr_assert_str_empty(warning);
    assert_defaults();
    is_secure = false;
    read_setting("TIDEPOOL_DEPOT=1");
    cr_assert_eq(options.depot, 1);
}

static void warn_late(void)
{
    tide_options_warn_late(environment);
}

Test(options, settings_that_came_too_late_are_named)
{
    char *with[] = { (char *)"HOME=/", (char *)"TIDEPOOL_DEPOT=7", NULL };
    char *without[] = { (char *)"HOME=/", (char *)"XTIDEPOOL_DEPOT=7", NULL };

    environment = with;
    capture(warn_late, warning);
    cr_assert(strstr(warning, "setting TIDEPOOL_DEPOT=7 came too late"), "%s", warning);
    cr_assert_neq(tide_options.depot, 7);
    environment = without;
    capture(warn_late, warning);
    cr_assert_str_empty(warning);
}

/* ---- The printed table -------------------------------------------------- */

PROGRAM(table)
{
    tide_options_print();
}

static void assert_line(const char *table, const struct row *row)
{
    char name[40] = "\nTIDEPOOL_", *end = name + strlen(name);
    const char *line, *help;

    for (const char *letter = row->field; *letter; letter++)
        *end++ = (char)toupper(*letter);
    *end++ = ' ';
    *end = '\0';
    line = strstr(table, name);
    cr_assert(line, "no line for %s", row->field);
    help = strstr(line, row->help);
    cr_assert(help && help < strchr(line + 1, '\n'), "no help for %s", row->field);
}

Test(options, the_table_has_a_line_for_each_setting)
{
    struct outcome outcome =
        run_program("table", "TIDEPOOL_DEPOT=3K", "TIDEPOOL_ARENA_LOCK=global");
    unsigned lines = 0;
    char value[20], standard[20];

    assert_ended_well(outcome);
    for (const char *letter = outcome.text; *letter; letter++)
        lines += *letter == '\n';
    cr_assert_eq(lines, ROWS + 2, "a title, the columns and the settings");
    for (int n = 0; n < ROWS; n++)
        assert_line(outcome.text, &rows[n]);
    cr_assert_eq(sscanf(strstr(outcome.text, "TIDEPOOL_DEPOT "), "%*s %19s %19s", value, standard),
                 2);
    cr_assert_str_eq(value, "3K");
    cr_assert_str_eq(standard, "8K");
    cr_assert_eq(
        sscanf(strstr(outcome.text, "TIDEPOOL_ARENA_LOCK "), "%*s %19s %19s", value, standard), 2);
    cr_assert_str_eq(value, "global");
    cr_assert_str_eq(standard, "arena");
}

PROGRAM(help)
{
}

Test(options, help_prints_the_table_at_start)
{
    struct outcome helped = run_program("help", "TIDEPOOL_HELP=1", NULL);
    struct outcome printed = run_program("table", "TIDEPOOL_HELP=0", NULL);

    assert_ended_well(helped);
    assert_line(helped.text, &rows[0]);
    cr_assert_eq(strlen(helped.text), strlen(printed.text));
}

/* base/options.c - see options.h.  Runs once, allocates nothing. */
#include "base/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>

#include "base/fatal.h"

#define PREFIX "TIDEPOOL_"

enum kind { CHOICE, COUNT, BYTES, SHARE, TEXT };

enum { TEXT_BYTES = 512 }; /* for all settings of that kind */

struct row {
    const char *name;
    enum kind kind;
    int64_t standard, least, most;
    const char *choices, *help;
    int64_t *value;
};

struct tide_options tide_options = {
#define ROW(field, kind, standard, least, most, choices, help) .field = (standard),
    TIDE_OPTIONS(ROW)
#undef ROW
};

static const struct row rows[] = {
#define ROW(field, kind, standard, least, most, choices, help) \
    { #field, kind, standard, least, most, choices, help, &tide_options.field },
    TIDE_OPTIONS(ROW)
#undef ROW
};

enum { ROWS = sizeof rows / sizeof *rows };

/* Settings that there were, and what does their work. */
static const struct gone {
    const char *name, *instead;
} gone[] = {
    { "huge_cache", PREFIX "DECAY_MS says how long freed memory is kept" },
    { "arena_order", "the fullest arena comes first, always" },
    { "stash", "batches of freed foreign blocks have sizes of their own; nothing takes its place" },
};

enum { GONE = sizeof gone / sizeof *gone };

/* The nth of "a|b|c"; its length in *length, 0 past the end. */
static const char *nth_choice(const char *choices, int64_t n, size_t *length)
{
    while (n-- > 0) {
        choices += strcspn(choices, "|");
        choices += *choices == '|';
    }
    *length = strcspn(choices, "|");
    return choices;
}

static bool parse_choice(const struct row *row, const char *text, int64_t *value)
{
    for (int64_t n = row->least; n <= row->most; n++) {
        size_t length;
        const char *choice = nth_choice(row->choices, n, &length);

        if (length == strlen(text) && strncasecmp(choice, text, length) == 0) {
            *value = n;
            return true;
        }
    }
    return false;
}

/* Of "NN%"; kept as -NN. */
static bool parse_percentage(const char *text, int64_t *value)
{
    int64_t number = 0;

    for (; *text >= '0' && *text <= '9' && number <= 100; text++)
        number = 10 * number + *text - '0';
    *value = -number;
    return strcmp(text, "%") == 0 && number >= 1 && number <= 100;
}

/* Kept: many programs overwrite their environment to show what they do. */
static bool parse_text(const struct row *row, const char *text, int64_t *value)
{
    static char kept[TEXT_BYTES];
    static size_t used;
    size_t length = strlen(text);

    if ((int64_t)length < row->least || (int64_t)length > row->most ||
        length >= sizeof kept - used)
        return false;
    *value = (int64_t)(intptr_t)memcpy(kept + used, text, length + 1);
    used += length + 1;
    return true;
}

/* 0 for no suffix, -1 for a wrong one. */
static int suffix_shift(const char *text)
{
    static const char letters[] = "KMGT";
    const char *found;

    if (*text == '\0')
        return 0;
    found = *text > ' ' ? strchr(letters, *text & ~0x20) : NULL;
    return found && text[1] == '\0' ? 10 * (int)(found - letters + 1) : -1;
}

static bool parse_number(const struct row *row, const char *text, int64_t *value)
{
    bool is_negative = row->least < 0 && *text == '-';
    int64_t number = 0;
    int shift;

    text += is_negative;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, *text - '0', &number))
            return false;
    shift = row->kind != COUNT ? suffix_shift(text) : *text == '\0' ? 0 : -1;
    if (shift < 0 || __builtin_mul_overflow(number, INT64_C(1) << shift, &number))
        return false;
    *value = is_negative ? -number : number;
    return *value >= row->least && *value <= row->most;
}

static bool parse(const struct row *row, const char *text, int64_t *value)
{
    switch (row->kind) {
    case CHOICE:
        return parse_choice(row, text, value);
    case TEXT:
        return parse_text(row, text, value);
    case SHARE:
        return parse_percentage(text, value) || parse_number(row, text, value);
    default:
        return parse_number(row, text, value);
    }
}

/* Values as a user would type them. */
static void show(const struct row *row, int64_t value, char *out, size_t room)
{
    static const char letters[] = " KMGT";
    int letter = 0;

    if (row->kind == CHOICE) {
        size_t length;
        const char *choice = nth_choice(row->choices, value, &length);

        snprintf(out, room, "%.*s", (int)length, choice);
        return;
    }
    if (row->kind == TEXT) {
        snprintf(out, room, "%s", value ? tide_options_text(value) : "-");
        return;
    }
    if (row->kind == SHARE && value < 0) {
        snprintf(out, room, "%lld%%", (long long)-value);
        return;
    }
    while (row->kind != COUNT && value != 0 && value % 1024 == 0 && letter < 4) {
        value /= 1024;
        letter++;
    }
    snprintf(out, room, "%lld%.*s", (long long)value, letter != 0, letters + letter);
}

static void accepted(const struct row *row, char *out, size_t room)
{
    char least[32], most[32];

    if (row->kind == CHOICE) {
        snprintf(out, room, "%s", row->choices);
        return;
    }
    if (row->kind == TEXT) {
        snprintf(out, room, "%lld to %lld bytes", (long long)row->least, (long long)row->most);
        return;
    }
    show(row, row->least, least, sizeof least);
    show(row, row->most, most, sizeof most);
    snprintf(out, room, "%s to %s%s", least, most, row->kind == SHARE ? ", 1% to 100%" : "");
}

static bool is_name(const char *wanted, const char *name, size_t length)
{
    return strlen(wanted) == length && strncasecmp(wanted, name, length) == 0;
}

/* Of a setting that is in no row. */
static void refuse(const char *name, size_t name_length, const char *text)
{
    for (const struct gone *setting = gone; setting < gone + GONE; setting++)
        if (is_name(setting->name, name, name_length)) {
            tide_base_warn("setting " PREFIX "%.*s=%.100s is gone: %s", (int)name_length, name,
                           text, setting->instead);
            return;
        }
    tide_base_warn("setting " PREFIX "%.*s=%.100s is unknown and ignored; "
                   "TIDEPOOL_HELP=1 lists the settings",
                   (int)name_length, name, text);
}

static void take(const char *name, size_t name_length, const char *text)
{
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        char range[80], standard[32];
        int64_t value;

        if (!is_name(row->name, name, name_length))
            continue;
        if (parse(row, text, &value)) {
            *row->value = value;
            return;
        }
        accepted(row, range, sizeof range);
        show(row, row->standard, standard, sizeof standard);
        tide_base_warn("setting " PREFIX "%.*s=%.100s is not understood: it takes %s; "
                       "the default %s is kept",
                       (int)name_length, name, text, range, standard);
        return;
    }
    refuse(name, name_length, text);
}

void tide_options_read(char *const *environment)
{
    if (!environment || getauxval(AT_SECURE))
        return;
    for (; *environment; environment++) {
        const char *name = *environment, *end = strchr(name, '=');

        if (end && strncmp(name, PREFIX, sizeof PREFIX - 1) == 0) {
            name += sizeof PREFIX - 1;
            take(name, (size_t)(end - name), end + 1);
        }
    }
}

void tide_options_warn_late(char *const *environment)
{
    for (; *environment; environment++)
        if (strncmp(*environment, PREFIX, sizeof PREFIX - 1) == 0) {
            tide_base_warn("setting %.100s came too late and the defaults are kept: memory was "
                           "asked for before the program's environment was ready",
                           *environment);
            return;
        }
}

void tide_options_print(void)
{
    tide_base_print("tidepool " TIDE_VERSION " settings\n%-24s %-10s %-10s %-21s %s\n", "variable",
                    "value", "default", "accepted", "meaning");
    for (const struct row *row = rows; row < rows + ROWS; row++) {
        char name[32], value[TEXT_BYTES], standard[32], range[80];

        snprintf(name, sizeof name, PREFIX "%s", row->name);
        for (char *letter = name; *letter; letter++)
            *letter = *letter >= 'a' && *letter <= 'z' ? (char)(*letter & ~0x20) : *letter;
        show(row, *row->value, value, sizeof value);
        show(row, row->standard, standard, sizeof standard);
        accepted(row, range, sizeof range);
        tide_base_print("%-24s %-10s %-10s %-21s %s\n", name, value, standard, range, row->help);
    }
}

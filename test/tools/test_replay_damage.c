/* test/tools/test_replay_damage.c - damaged and cut traces are refused, and never crash
 *
 * usage: test_replay_damage [TRACE [ROUNDS]]
 *
 * Without TRACE, one is made here.  Every round changes bytes or cuts the end,
 * in memory: all of those must be refused with one line of text.  Every other
 * round then puts the checksums right again, as if the recorder itself were
 * wrong: reading and planning such a trace may succeed, but nothing else may
 * happen; a sanitizer looks on in the builds that have one.
 */
#include "plan.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS     5
#define CHUNKS      40
#define EVENTS      50 /* of a chunk */
#define ADDRESSES   300
#define CHANGE_MOST 8

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void fail(const char *what, unsigned long round)
{
    printf("FAILED: round %lu: %s\n", round, what);
    exit(1);
}

/* ---- A trace ------------------------------------------------------------- */

static struct trace_event random_event(uint64_t order)
{
    struct trace_event event = {
        .operation = TRACE_MALLOC + (enum trace_operation)(next_random() % 7),
        .order = order,
        .began = order - 1,
        .align_log2 = next_random() % 12,
        .size = next_random() % 5000,
        .block = 0x7f0000000000 + 16 * (next_random() % ADDRESSES),
        .old_block = 0x7f0000000000 + 16 * (next_random() % ADDRESSES),
        .thread = 1 + (uint32_t)(next_random() % (THREADS - 1)),
        .time = order * 1000,
    };
    if (next_random() % 50 == 0)
        event.block = 0;
    return event;
}

static size_t put_chunk(uint8_t *at, uint64_t number, uint64_t order)
{
    struct trace_chunk_head head = {
        .magic = TRACE_CHUNK,
        .thread = (uint32_t)(number % THREADS),
        .events = EVENTS,
        .number = number,
        .order = order,
        .time = order * 1000,
    };
    struct trace_coder coder = {.order = order, .time = head.time};
    for (unsigned i = 0; i < EVENTS; i++) {
        struct trace_event event = random_event(order + 2 * i + 1);
        if (event.operation == TRACE_CREATE && event.thread == head.thread)
            event.operation = TRACE_FREE_NULL;
        head.bytes += (uint32_t)trace_put_event(at + TRACE_CHUNK_HEAD + head.bytes, &coder, &event);
    }
    trace_put_chunk_head(at, &head);
    return TRACE_CHUNK_HEAD + head.bytes;
}

static size_t make_trace(uint8_t *bytes)
{
    struct trace_header header = {.page_bytes = 4096, .name = "made"};
    size_t size = trace_put_header(bytes, &header);
    for (uint64_t i = 0; i < CHUNKS; i++)
        size += put_chunk(bytes + size, i, 2 * EVENTS * i);
    trace_put_chunk_head(bytes + size, &(struct trace_chunk_head){.magic = TRACE_END,
                                                                  .thread = THREADS,
                                                                  .number = CHUNKS,
                                                                  .order = CHUNKS * EVENTS});
    return size + TRACE_CHUNK_HEAD;
}

static uint8_t *read_trace(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size)
        exit(1);
    fclose(file);
    return bytes;
}

/* ---- Damage -------------------------------------------------------------- */

static uint32_t u32_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t u64_at(const uint8_t *at)
{
    return u32_at(at) | (uint64_t)u32_at(at + 4) << 32;
}

/* Right checksums for whatever chunks can be told; true to the numbers in them. */
static void mend_checksums(uint8_t *bytes, size_t size)
{
    size_t at = size >= 16 ? u32_at(bytes + 12) : size;
    while (at < size && size - at >= TRACE_CHUNK_HEAD) {
        struct trace_chunk_head head = {
            .magic = u32_at(bytes + at),
            .bytes = u32_at(bytes + at + 4),
            .thread = u32_at(bytes + at + 8),
            .events = u32_at(bytes + at + 12),
            .number = u64_at(bytes + at + 16),
            .order = u64_at(bytes + at + 24),
            .time = u64_at(bytes + at + 32),
        };
        if (head.bytes > size - at - TRACE_CHUNK_HEAD)
            return;
        trace_put_chunk_head(bytes + at, &head);
        at += TRACE_CHUNK_HEAD + head.bytes;
    }
}

/* Returns the new size; some byte differs, or some are missing. */
static size_t damage(uint8_t *bytes, size_t size)
{
    if (next_random() % 3 == 0)
        return next_random() % size;
    for (uint64_t count = 1 + next_random() % CHANGE_MOST; count > 0; count--)
        bytes[next_random() % size] ^= (uint8_t)(1 + next_random() % 255);
    return size;
}

/* Whether it could be read and planned. */
static bool is_accepted(const uint8_t *bytes, size_t size, struct trace_error *error)
{
    static const struct plan_options options = {.percent = 100, .points = 100, .drift = 0.01};
    struct trace trace;
    struct plan plan;
    error->text[0] = 0;
    if (!trace_open_bytes(&trace, bytes, size, error))
        return false;
    bool is_good = plan_build(&plan, &trace, &options, error);
    if (is_good)
        plan_free(&plan);
    trace_close(&trace);
    return is_good;
}

/* The copy has exactly the bytes, so that a sanitizer sees a read beyond them. */
static bool try_damaged(const uint8_t *original, size_t size, unsigned long round)
{
    struct trace_error error;
    uint8_t *work = malloc(size);
    if (work == NULL)
        exit(1);
    memcpy(work, original, size);
    size_t left = damage(work, size);
    bool differs = left != size || memcmp(work, original, size) != 0;
    uint8_t *copy = malloc(left ? left : 1);
    if (copy == NULL)
        exit(1);
    memcpy(copy, work, left);
    bool is_mended = round % 2 == 1;
    if (is_mended)
        mend_checksums(copy, left);
    bool was_accepted = is_accepted(copy, left, &error);
    if (was_accepted && differs && !is_mended)
        fail("a damaged trace was accepted", round);
    if (!was_accepted && (error.text[0] == 0 || strchr(error.text, '\n') != NULL))
        fail("no single line says why", round);
    free(copy);
    free(work);
    return was_accepted;
}

int main(int argc, char **argv)
{
    static uint8_t made[CHUNKS * (TRACE_CHUNK_HEAD + EVENTS * TRACE_EVENT_MOST) + 10000];
    unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 4000, accepted = 0;
    struct trace_error error;
    size_t size;
    uint8_t *original = made;
    if (argc > 1)
        original = read_trace(argv[1], &size);
    else
        size = make_trace(made);
    if (!is_accepted(original, size, &error))
        fail(error.text, 0);
    for (unsigned long round = 0; round < rounds; round++)
        accepted += try_damaged(original, size, round);
    printf("%lu damaged traces of %zu bytes; with right checksums %lu of %lu could be planned\n",
           rounds, size, accepted, rounds / 2);
    if (original != made)
        free(original);
    return 0;
}

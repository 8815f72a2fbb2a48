/* bench/trace/trace.c - coder and reader of traces
 *
 * The reader trusts nothing: each number is checked against the bytes that are
 * there before it is used, so a damaged trace yields an error and no more.
 * Not thread-safe, except that the coder works on its arguments alone.
 */
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_FIXED 36 /* bytes before the name */
#define ORDER_INLINE 15 /* least difference of order that has a number of its own */

bool trace_fail(struct trace_error *error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
    return false;
}

void *trace_map(uint64_t size)
{
    void *memory = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void trace_unmap(void *memory, uint64_t size)
{
    if (memory != NULL)
        munmap(memory, size ? size : 1);
}

/* ---- Numbers ------------------------------------------------------------- */

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *at, uint64_t value)
{
    put_u32(at, (uint32_t)value);
    put_u32(at + 4, (uint32_t)(value >> 32));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

/* False beyond the end, or when it has more than 64 bits. */
static bool get_number(struct trace_cursor *cursor, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && cursor->at < cursor->end; shift += 7) {
        uint8_t byte = *cursor->at++;
        if (shift == 63 && byte > 1)
            return false;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static uint8_t *put_block(uint8_t *at, struct trace_coder *coder, uint64_t block)
{
    uint64_t step = block - coder->block;
    coder->block = block;
    return put_number(at, step << 1 ^ (step >> 63 ? UINT64_MAX : 0));
}

static bool get_block(struct trace_cursor *cursor, uint64_t *block)
{
    uint64_t number;
    if (!get_number(cursor, &number))
        return false;
    cursor->coder.block += number >> 1 ^ (number & 1 ? UINT64_MAX : 0);
    *block = cursor->coder.block;
    return true;
}

/* The CRC-32 of zlib and PNG, four bits at a time. */
static uint32_t crc32_of(uint32_t crc, const uint8_t *bytes, uint64_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- Encoding ------------------------------------------------------------ */

size_t trace_put_header(uint8_t *at, const struct trace_header *header)
{
    uint32_t name = (uint32_t)strnlen(header->name, TRACE_NAME_MOST);
    uint32_t bytes = HEADER_FIXED + name + 4;
    memcpy(at, TRACE_MAGIC, 8);
    put_u32(at + 8, TRACE_VERSION);
    put_u32(at + 12, bytes);
    put_u64(at + 16, header->start);
    put_u32(at + 24, header->page_bytes);
    put_u32(at + 28, header->process);
    put_u32(at + 32, name);
    memcpy(at + HEADER_FIXED, header->name, name);
    put_u32(at + bytes - 4, crc32_of(0, at, bytes - 4));
    return bytes;
}

static uint8_t *put_operation(uint8_t *at, struct trace_coder *coder,
                              const struct trace_event *event)
{
    uint64_t between = event->order - coder->order;
    uint8_t high = between < ORDER_INLINE ? (uint8_t)between : ORDER_INLINE;
    *at++ = (uint8_t)(event->operation | high << 4);
    coder->order = event->order + 1;
    return high == ORDER_INLINE ? put_number(at, between - ORDER_INLINE) : at;
}

size_t trace_put_event(uint8_t *start, struct trace_coder *coder, const struct trace_event *event)
{
    uint8_t *at = start;
    if (event->time > coder->time) {
        *at++ = TRACE_TIME;
        at = put_number(at, event->time - coder->time);
        coder->time = event->time;
    }
    at = put_operation(at, coder, event);
    switch (event->operation) {
    case TRACE_ALIGNED:
        at = put_number(at, event->align_log2);
        /* fall through */
    case TRACE_MALLOC:
    case TRACE_CALLOC:
        at = put_number(at, event->size);
        at = put_block(at, coder, event->block);
        break;
    case TRACE_REALLOC:
        at = put_number(at, event->order - event->began);
        at = put_block(at, coder, event->old_block);
        at = put_number(at, event->size);
        at = put_block(at, coder, event->block);
        break;
    case TRACE_FREE:
        at = put_block(at, coder, event->block);
        break;
    case TRACE_CREATE:
        at = put_number(at, event->thread);
        break;
    default:
        break;
    }
    return (size_t)(at - start);
}

void trace_put_chunk_head(uint8_t *at, const struct trace_chunk_head *head)
{
    put_u32(at, head->magic);
    put_u32(at + 4, head->bytes);
    put_u32(at + 8, head->thread);
    put_u32(at + 12, head->events);
    put_u64(at + 16, head->number);
    put_u64(at + 24, head->order);
    put_u64(at + 32, head->time);
    put_u32(at + 40, 0);
    put_u32(at + 44, crc32_of(crc32_of(0, at, 44), at + TRACE_CHUNK_HEAD, head->bytes));
}

/* ---- Opening: header, chunks, end ---------------------------------------- */

static bool read_header(struct trace *trace, uint64_t *bytes, struct trace_error *error)
{
    const uint8_t *at = trace->bytes;
    if (trace->size == 0)
        return trace_fail(error, "the file is empty");
    if (trace->size < 8 || memcmp(at, TRACE_MAGIC, 8) != 0)
        return trace_fail(error, "not a trace of libtidepool-record.so: the first bytes differ");
    if (trace->size < HEADER_FIXED + 4)
        return trace_fail(error, "cut at byte %llu, inside the header",
                          (unsigned long long)trace->size);
    if (get_u32(at + 8) != TRACE_VERSION)
        return trace_fail(error, "trace of version %u; this program reads version %d",
                          get_u32(at + 8), TRACE_VERSION);
    *bytes = get_u32(at + 12);
    uint32_t name = get_u32(at + 32);
    if (name > TRACE_NAME_MOST || *bytes != HEADER_FIXED + name + 4)
        return trace_fail(error, "the header's lengths are damaged");
    if (*bytes > trace->size)
        return trace_fail(error, "cut at byte %llu, inside the header",
                          (unsigned long long)trace->size);
    if (get_u32(at + *bytes - 4) != crc32_of(0, at, *bytes - 4))
        return trace_fail(error, "the header is damaged: its checksum differs");
    trace->header.start = get_u64(at + 16);
    trace->header.page_bytes = get_u32(at + 24);
    trace->header.process = get_u32(at + 28);
    memcpy(trace->header.name, at + HEADER_FIXED, name);
    trace->header.name[name] = 0;
    return true;
}

static void get_chunk_head(const uint8_t *at, struct trace_chunk_head *head)
{
    head->magic = get_u32(at);
    head->bytes = get_u32(at + 4);
    head->thread = get_u32(at + 8);
    head->events = get_u32(at + 12);
    head->number = get_u64(at + 16);
    head->order = get_u64(at + 24);
    head->time = get_u64(at + 32);
}

/* The checked head at an offset. */
static bool read_chunk_head(const struct trace *trace, uint64_t number, uint64_t at,
                            struct trace_chunk_head *head, struct trace_error *error)
{
    unsigned long long n = number, offset = at, size = trace->size;
    if (at == trace->size)
        return trace_fail(error,
                          "cut after chunk %lld, at byte %llu: no end record (was the recorded "
                          "program killed?)",
                          (long long)n - 1, offset);
    if (trace->size - at < TRACE_CHUNK_HEAD)
        return trace_fail(error, "cut at byte %llu, inside the header of chunk %llu", size, n);
    const uint8_t *bytes = trace->bytes + at;
    get_chunk_head(bytes, head);
    if (head->magic != TRACE_CHUNK && head->magic != TRACE_END)
        return trace_fail(error, "damaged at byte %llu: no chunk %llu there", offset, n);
    if (head->bytes > trace->size - at - TRACE_CHUNK_HEAD)
        return trace_fail(error, "cut at byte %llu, inside chunk %llu that began at byte %llu",
                          size, n, offset);
    uint32_t sum = crc32_of(crc32_of(0, bytes, 44), bytes + TRACE_CHUNK_HEAD, head->bytes);
    if (get_u32(bytes + 44) != sum)
        return trace_fail(error, "chunk %llu at byte %llu is damaged: its checksum differs", n,
                          offset);
    if (head->number != number)
        return trace_fail(error, "chunk %llu at byte %llu says that it is chunk %llu", n, offset,
                          (unsigned long long)head->number);
    if (head->thread > TRACE_THREAD_MOST)
        return trace_fail(error, "chunk %llu at byte %llu is damaged: thread %u", n, offset,
                          head->thread);
    return true;
}

static void link_chunk(struct trace *trace, const struct trace_chunk_head *head, uint64_t at)
{
    struct trace_thread *thread = &trace->threads[head->thread];
    trace->chunks[head->number] = (struct trace_chunk){.at = at, .next = TRACE_NONE};
    if (thread->events == 0)
        thread->first_chunk = head->number;
    else
        trace->chunks[thread->last_chunk].next = head->number;
    thread->last_chunk = head->number;
    thread->events += head->events;
}

static bool check_end(struct trace *trace, uint64_t at, uint64_t events, uint32_t threads,
                      struct trace_error *error)
{
    const struct trace_chunk_head *end = &trace->end;
    if (end->bytes != 0 || at + TRACE_CHUNK_HEAD != trace->size)
        return trace_fail(error, "%llu bytes follow the end record at byte %llu",
                          (unsigned long long)(trace->size - at - TRACE_CHUNK_HEAD),
                          (unsigned long long)at);
    if (end->order != events)
        return trace_fail(error, "the end record counts %llu events, the chunks hold %llu",
                          (unsigned long long)end->order, (unsigned long long)events);
    if (end->thread < threads)
        return trace_fail(error, "the end record counts %u threads, the chunks name thread %u",
                          end->thread, threads - 1);
    return true;
}

static bool read_chunks(struct trace *trace, uint64_t at, struct trace_error *error)
{
    struct trace_chunk_head head;
    uint64_t events = 0;
    uint32_t threads = 0;
    for (uint64_t number = 0;; number++) {
        if (!read_chunk_head(trace, number, at, &head, error))
            return false;
        if (head.magic == TRACE_END)
            break;
        if (head.thread == TRACE_THREAD_MOST || head.events == 0 || head.events > head.bytes)
            return trace_fail(error, "chunk %llu at byte %llu: %u events of thread %u in %u bytes",
                              (unsigned long long)number, (unsigned long long)at, head.events,
                              head.thread, head.bytes);
        link_chunk(trace, &head, at);
        if (head.thread >= threads)
            threads = head.thread + 1;
        events += head.events;
        at += TRACE_CHUNK_HEAD + head.bytes;
    }
    trace->end = head;
    return check_end(trace, at, events, threads, error);
}

bool trace_open_bytes(struct trace *trace, const uint8_t *bytes, uint64_t size,
                      struct trace_error *error)
{
    uint64_t header_bytes = 0;
    *trace = (struct trace){.bytes = bytes, .size = size};
    if (!read_header(trace, &header_bytes, error))
        return false;
    trace->chunks_room = size / TRACE_CHUNK_HEAD * sizeof *trace->chunks;
    trace->threads_room = TRACE_THREAD_MOST * sizeof *trace->threads;
    trace->chunks = trace_map(trace->chunks_room);
    trace->threads = trace_map(trace->threads_room);
    bool is_good = trace->chunks != NULL && trace->threads != NULL
                       ? read_chunks(trace, header_bytes, error)
                       : trace_fail(error, "no memory to read it");
    if (!is_good)
        trace_close(trace);
    return is_good;
}

static bool map_file(const char *path, const uint8_t **bytes, uint64_t *size,
                     struct trace_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0)
        return trace_fail(error, "%s", strerror(errno));
    bool is_good = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    if (!is_good)
        trace_fail(error, "not a regular file");
    *size = is_good ? (uint64_t)status.st_size : 0;
    *bytes = NULL;
    if (*size > 0) {
        void *memory = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
        if (memory == MAP_FAILED)
            is_good = trace_fail(error, "can't be mapped: %s", strerror(errno));
        else
            *bytes = memory;
    }
    close(file);
    return is_good;
}

bool trace_open(struct trace *trace, const char *path, struct trace_error *error)
{
    const uint8_t *bytes = NULL;
    uint64_t size = 0;
    if (!map_file(path, &bytes, &size, error))
        return false;
    if (!trace_open_bytes(trace, bytes, size, error)) {
        if (bytes != NULL)
            munmap((void *)(uintptr_t)bytes, size);
        return false;
    }
    trace->is_mapped = true;
    return true;
}

void trace_close(struct trace *trace)
{
    trace_unmap(trace->chunks, trace->chunks_room);
    trace_unmap(trace->threads, trace->threads_room);
    if (trace->is_mapped)
        munmap((void *)(uintptr_t)trace->bytes, trace->size);
    *trace = (struct trace){0};
}

/* ---- Events of a thread -------------------------------------------------- */

static void enter_chunk(struct trace_cursor *cursor, uint64_t number)
{
    struct trace_chunk_head head;
    cursor->chunk = number;
    if (number == TRACE_NONE)
        return;
    const uint8_t *at = cursor->trace->bytes + cursor->trace->chunks[number].at;
    get_chunk_head(at, &head);
    cursor->at = at + TRACE_CHUNK_HEAD;
    cursor->end = cursor->at + head.bytes;
    cursor->left = head.events;
    cursor->coder.block = 0;
    cursor->coder.time = head.time;
    if (head.order >= cursor->coder.order)
        cursor->coder.order = head.order;
    else
        cursor->left = 0; /* it runs back: told by trace_next */
}

void trace_start(struct trace_cursor *cursor, const struct trace *trace, uint32_t thread)
{
    *cursor = (struct trace_cursor){.trace = trace};
    enter_chunk(cursor, trace->threads[thread].events > 0 ? trace->threads[thread].first_chunk
                                                          : TRACE_NONE);
}

/* The operation and its order; a TIME before it is taken in passing. */
static bool get_operation(struct trace_cursor *cursor, struct trace_event *event)
{
    uint64_t number;
    if (cursor->at < cursor->end && *cursor->at == TRACE_TIME) {
        cursor->at++;
        if (!get_number(cursor, &number))
            return false;
        cursor->coder.time += number;
    }
    if (cursor->at == cursor->end)
        return false;
    uint8_t byte = *cursor->at++;
    uint64_t between = byte >> 4;
    if (between == ORDER_INLINE) {
        if (!get_number(cursor, &number) || number > UINT64_MAX / 4)
            return false;
        between += number;
    }
    event->operation = byte & 15;
    event->order = cursor->coder.order + between;
    event->time = cursor->coder.time;
    return event->operation > TRACE_TIME && event->operation < TRACE_OPERATIONS &&
           event->order >= between && event->order < UINT64_MAX / 2;
}

static bool get_operands(struct trace_cursor *cursor, struct trace_event *event)
{
    uint64_t number;
    switch (event->operation) {
    case TRACE_ALIGNED:
        if (!get_number(cursor, &number) || number > 63)
            return false;
        event->align_log2 = (unsigned)number;
        /* fall through */
    case TRACE_MALLOC:
    case TRACE_CALLOC:
        return get_number(cursor, &event->size) && get_block(cursor, &event->block);
    case TRACE_REALLOC:
        if (!get_number(cursor, &number) || number > event->order - cursor->coder.order ||
            number == 0)
            return false;
        event->began = event->order - number;
        return get_block(cursor, &event->old_block) && get_number(cursor, &event->size) &&
               get_block(cursor, &event->block);
    case TRACE_FREE:
        return get_block(cursor, &event->block);
    case TRACE_CREATE:
        if (!get_number(cursor, &number) || number >= cursor->trace->end.thread)
            return false;
        event->thread = (uint32_t)number;
        return true;
    default:
        return true;
    }
}

int trace_next(struct trace_cursor *cursor, struct trace_event *event, struct trace_error *error)
{
    if (cursor->chunk == TRACE_NONE)
        return 0;
    const uint8_t *start = cursor->at;
    *event = (struct trace_event){0};
    if (cursor->left == 0 || !get_operation(cursor, event) || !get_operands(cursor, event) ||
        (cursor->left == 1 && cursor->at != cursor->end)) {
        trace_fail(error, "chunk %llu is damaged: no event at byte %llu",
                   (unsigned long long)cursor->chunk,
                   (unsigned long long)(start - cursor->trace->bytes));
        return -1;
    }
    cursor->coder.order = event->order + 1;
    if (--cursor->left == 0)
        enter_chunk(cursor, cursor->trace->chunks[cursor->chunk].next);
    return 1;
}

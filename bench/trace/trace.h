/* bench/trace/trace.h - the format of a trace of allocation calls; its reader and its coder
 *
 * A trace is what libtidepool-record.so writes and replay reads:
 *
 *   header    "TIDEREC\n", version, length, start (ns since 1970), page size,
 *             process id, length of the program's name, the name, CRC-32
 *   chunk *   a run of one thread's events, in their order
 *   end       a chunk header with another magic word; nothing follows it.
 *             A trace without it was cut: the program was killed, the disk full.
 *
 * All numbers are little-endian.  A chunk's header is 48 bytes:
 *
 *   bytes   chunk                                   end
 *   0..3    TRACE_CHUNK                             TRACE_END
 *   4..7    bytes of events that follow             0
 *   8..11   thread                                  count of threads
 *   12..15  count of events                         calls that could not be recorded
 *   16..23  number of the chunk: 0, 1, 2, ...       count of chunks
 *   24..31  order of the first event                count of events
 *   32..39  ns since the start                      ns since the start
 *   40..43  0                                       0
 *   44..47  CRC-32 of bytes 0..43 and of the events
 *
 * An event is a byte, its operation in the low 4 bits, and numbers in LEB128:
 *
 *   high 4 bits   events of other threads since this thread's last one;
 *                 15: 15 more than the number that follows
 *   TIME          ns since the last event's time (coarse; an event of its own,
 *                 without order, where the clock's tick passed)
 *   MALLOC, CALLOC         bytes, block
 *   ALIGNED                log2 of the alignment, bytes, block
 *   REALLOC                order now - order when it began, old block, bytes, block
 *   FREE                   block
 *   CREATE                 the new thread
 *   FREE_NULL, THREAD_END  nothing
 *
 * A block is its address, as a zigzag difference to the address before it in
 * the same chunk; 0 after a failed call.  Order is one count over all threads:
 * that of a free is drawn before the call and that of an allocation after it,
 * so a block's free is before the next allocation at its address.  A realloc
 * draws both: from the first on its old address may be another block's.
 * Orders that a thread drew and never wrote are holes, which is no error.
 *
 * Nothing here calls malloc.  The coder is used inside recorded programs.
 */
#ifndef TIDE_BENCH_TRACE_H
#define TIDE_BENCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC       "TIDEREC\n"
#define TRACE_VERSION     1
#define TRACE_CHUNK       0x4b484354u /* "TCHK" */
#define TRACE_END         0x444e4554u /* "TEND" */
#define TRACE_NAME_MOST   4096        /* bytes of the program's name */
#define TRACE_HEADER_MOST (40 + TRACE_NAME_MOST)
#define TRACE_CHUNK_HEAD  48         /* bytes */
#define TRACE_EVENT_MOST  96         /* bytes of an event and the TIME before it */
#define TRACE_THREAD_MOST (1u << 20) /* threads, ended ones included */

enum trace_operation {
    TRACE_TIME = 1,
    TRACE_MALLOC,
    TRACE_CALLOC,
    TRACE_ALIGNED,
    TRACE_REALLOC,
    TRACE_FREE,
    TRACE_FREE_NULL,
    TRACE_CREATE,
    TRACE_THREAD_END,
    TRACE_OPERATIONS
};

struct trace_event {
    enum trace_operation operation;
    uint32_t thread;     /* CREATE: the new one */
    unsigned align_log2; /* ALIGNED */
    uint64_t order;
    uint64_t began;     /* REALLOC: order at its begin */
    uint64_t size;      /* bytes asked for */
    uint64_t block;     /* 0: the call failed */
    uint64_t old_block; /* REALLOC */
    uint64_t time;      /* ns since the start */
};

/* What the numbers of a chunk's next event are relative to. */
struct trace_coder {
    uint64_t order; /* least order of the next event */
    uint64_t block;
    uint64_t time;
};

struct trace_header {
    uint64_t start; /* ns since 1970 */
    uint32_t page_bytes;
    uint32_t process;
    char name[TRACE_NAME_MOST + 1];
};

/* The 48 bytes of a chunk or of the end. */
struct trace_chunk_head {
    uint32_t magic;
    uint32_t bytes;
    uint32_t thread; /* end: threads */
    uint32_t events; /* end: calls lost */
    uint64_t number; /* end: chunks */
    uint64_t order;  /* end: events */
    uint64_t time;
};

/* One line that says what is wrong, and where. */
struct trace_error {
    char text[512];
};

struct trace_chunk {
    uint64_t at;   /* its header's offset in the file */
    uint64_t next; /* the thread's next chunk; TRACE_NONE */
};
#define TRACE_NONE UINT64_MAX

struct trace_thread {
    uint64_t first_chunk;
    uint64_t last_chunk;
    uint64_t events;
};

struct trace {
    const uint8_t *bytes;
    uint64_t size;
    bool is_mapped; /* bytes are ours to unmap */
    struct trace_header header;
    struct trace_chunk_head end;
    struct trace_chunk *chunks;
    struct trace_thread *threads; /* end.thread of them */
    uint64_t chunks_room;         /* bytes */
    uint64_t threads_room;        /* bytes */
};

/* A thread's events, one after the other. */
struct trace_cursor {
    const struct trace *trace;
    uint64_t chunk; /* TRACE_NONE: no more */
    const uint8_t *at;
    const uint8_t *end;
    uint32_t left; /* events of the chunk */
    struct trace_coder coder;
};

/* Encoding: each returns the bytes written at the given place. */
size_t trace_put_header(uint8_t *at, const struct trace_header *header);
size_t trace_put_event(uint8_t *at, struct trace_coder *coder, const struct trace_event *event);

/* Writes the 48 bytes before the head->bytes of events that follow them. */
void trace_put_chunk_head(uint8_t *at, const struct trace_chunk_head *head);

/* Reading: false, or below 0, with the reason in error.  Every chunk's checksum
 * has been verified when a trace is open. */
bool trace_open(struct trace *trace, const char *path, struct trace_error *error);
bool trace_open_bytes(struct trace *trace, const uint8_t *bytes, uint64_t size,
                      struct trace_error *error);
void trace_close(struct trace *trace);
void trace_start(struct trace_cursor *cursor, const struct trace *trace, uint32_t thread);

/* 1 with an event, 0 at the thread's end, -1 when the chunk is damaged. */
int trace_next(struct trace_cursor *cursor, struct trace_event *event, struct trace_error *error);

__attribute__((format(printf, 2, 3))) bool trace_fail(struct trace_error *error,
                                                      const char *format, ...);

/* Zeroed pages, taken from the system as they are touched; NULL if it has none. */
void *trace_map(uint64_t size);
void trace_unmap(void *memory, uint64_t size);

#endif

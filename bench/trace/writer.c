/* bench/trace/writer.c - buffers, chunks and the file (writer.h says more) */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES  (64u << 10)
#define PATH_MOST     4096
#define SLAB_BUFFERS  16      /* mapped at a time */
#define FINISH_MOST   2000000 /* us: a thread stuck in its buffer is given up */
#define UNKNOWN       UINT32_MAX

struct buffer {
    struct buffer *next_of_all;  /* list of all, written once */
    struct buffer *next_free;    /* under file_lock */
    _Atomic uint32_t busy;       /* owner; seq_cst, with is_on */
    uint32_t thread;             /* owner; UNKNOWN: free */
    uint32_t events;             /* owner */
    uint32_t used;               /* bytes; owner */
    uint64_t order;              /* of the first event; owner */
    uint64_t time;               /* ns, of the first event; owner */
    struct trace_coder coder;    /* owner */
    uint8_t bytes[TRACE_CHUNK_HEAD + BUFFER_BYTES];
};

/* ---- The recording; under file_lock unless told otherwise ---------------- */

static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static int file = -1;
static pid_t process;
static char path[PATH_MOST];
static uint64_t chunks, events;
static struct buffer *free_buffers;
static struct buffer *_Atomic all_buffers; /* read without the lock */

static _Atomic bool is_on;      /* seq_cst, with buffer->busy */
static atomic_bool is_finished; /* by whoever finishes it first */
static atomic_uint_fast64_t next_order;
static _Atomic uint32_t next_thread;
static _Atomic uint32_t lost;
static struct timespec start;
static pthread_key_t end_key; /* its destructor tells a thread's end */

static __thread struct buffer *my_buffer;
static __thread uint32_t my_thread = UNKNOWN;
static __thread bool i_ended;
static __thread unsigned destructor_passes;

bool writer_is_on(void)
{
    return atomic_load_explicit(&is_on, memory_order_relaxed);
}

uint64_t writer_draw_order(void)
{
    return atomic_fetch_add(&next_order, 1);
}

static void say(const char *what)
{
    char line[PATH_MOST + 256];
    int length = snprintf(line, sizeof line, "libtidepool-record: %s: %s\n", path, what);
    if (write(STDERR_FILENO, line, (size_t)length) < 0)
        return; /* no one to tell */
}

/* Ns since the start, as coarse as the system's tick. */
static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    int64_t ns = (time.tv_sec - start.tv_sec) * INT64_C(1000000000) + time.tv_nsec - start.tv_nsec;
    return ns > 0 ? (uint64_t)ns : 0;
}

/* ---- The file ------------------------------------------------------------ */

static bool write_all(const uint8_t *at, size_t left)
{
    while (left > 0) {
        ssize_t done = syscall(SYS_write, file, at, left); /* write(2) can be cancelled */
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            say(done < 0 ? strerror(errno) : "nothing could be written");
            say("the trace is cut here; recording ends");
            atomic_store(&is_on, false);
            atomic_store(&is_finished, true);
            return false;
        }
        at += done;
        left -= (size_t)done;
    }
    return true;
}

/* bytes: room for a chunk's header, then its events. */
static void write_chunk(uint8_t *bytes, struct trace_chunk_head head)
{
    head.magic = TRACE_CHUNK;
    head.number = chunks;
    trace_put_chunk_head(bytes, &head);
    if (getpid() == process && write_all(bytes, TRACE_CHUNK_HEAD + head.bytes)) {
        chunks++;
        events += head.events;
    }
}

static void write_buffer(struct buffer *buffer)
{
    if (buffer->events > 0)
        write_chunk(buffer->bytes, (struct trace_chunk_head){
                                       .bytes = buffer->used,
                                       .thread = buffer->thread,
                                       .events = buffer->events,
                                       .order = buffer->order,
                                       .time = buffer->time,
                                   });
    buffer->events = buffer->used = 0;
}

static void write_end(void)
{
    uint8_t bytes[TRACE_CHUNK_HEAD];
    uint32_t threads = atomic_load(&next_thread);
    if (threads > TRACE_THREAD_MOST)
        threads = TRACE_THREAD_MOST;
    trace_put_chunk_head(bytes, &(struct trace_chunk_head){
                                    .magic = TRACE_END,
                                    .thread = threads,
                                    .events = atomic_load(&lost),
                                    .number = chunks,
                                    .order = events,
                                    .time = now(),
                                });
    write_all(bytes, sizeof bytes);
}

/* path = pattern with %p as the process id */
static void set_path(const char *pattern)
{
    size_t used = 0;
    for (; *pattern != 0 && used + 16 < sizeof path; pattern++) {
        if (pattern[0] == '%' && pattern[1] == 'p') {
            used += (size_t)snprintf(path + used, 16, "%d", (int)getpid());
            pattern++;
        } else {
            path[used++] = *pattern;
        }
    }
    path[used] = 0;
}

static bool open_path(void)
{
    file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    return file >= 0;
}

/* A lock on the file says that its recording goes on: a program that a recorded
 * one started with the same name takes NAME.PID instead. */
static bool open_file(void)
{
    const char *pattern = secure_getenv("TIDE_RECORD_FILE");
    set_path(pattern != NULL && *pattern != 0 ? pattern : "tidepool-%p.trace");
    bool is_open = open_path();
    if (is_open && flock(file, LOCK_EX | LOCK_NB) != 0) {
        size_t length = strlen(path);
        close(file);
        snprintf(path + length, sizeof path - length, ".%d", (int)getpid());
        is_open = open_path() && flock(file, LOCK_EX | LOCK_NB) == 0;
    }
    struct stat status;
    if (is_open && fstat(file, &status) == 0 && S_ISREG(status.st_mode) && ftruncate(file, 0) == 0)
        return true;
    say(is_open ? "not a regular file" : strerror(errno));
    say("nothing is recorded");
    return false;
}

static bool write_header(void)
{
    static struct trace_header header;
    static uint8_t bytes[TRACE_HEADER_MOST];
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    clock_gettime(CLOCK_MONOTONIC_COARSE, &start);
    header.start = (uint64_t)wall.tv_sec * 1000000000 + (uint64_t)wall.tv_nsec;
    header.page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
    header.process = (uint32_t)process;
    snprintf(header.name, sizeof header.name, "%s", program_invocation_name);
    return write_all(bytes, trace_put_header(bytes, &header));
}

/* ---- Buffers ------------------------------------------------------------- */

static void add_slab(void)
{
    struct buffer *slab = trace_map(SLAB_BUFFERS * sizeof *slab);
    for (int i = 0; slab != NULL && i < SLAB_BUFFERS; i++) {
        slab[i].thread = UNKNOWN;
        slab[i].next_of_all = all_buffers;
        slab[i].next_free = free_buffers;
        free_buffers = &slab[i];
        all_buffers = &slab[i];
    }
}

static struct buffer *take_buffer(uint32_t thread)
{
    pthread_mutex_lock(&file_lock);
    if (free_buffers == NULL)
        add_slab();
    struct buffer *buffer = free_buffers;
    if (buffer != NULL) {
        free_buffers = buffer->next_free;
        buffer->thread = thread;
    }
    pthread_mutex_unlock(&file_lock);
    return buffer;
}

static void give_back_buffer(struct buffer *buffer)
{
    pthread_mutex_lock(&file_lock);
    if (writer_is_on()) { /* else writer_finish writes it */
        write_buffer(buffer);
        buffer->thread = UNKNOWN;
        buffer->next_free = free_buffers;
        free_buffers = buffer;
    }
    pthread_mutex_unlock(&file_lock);
}

static uint64_t least_order(const struct trace_event *event)
{
    return event->operation == TRACE_REALLOC ? event->began : event->order;
}

static void append(struct buffer *buffer, const struct trace_event *event)
{
    if (buffer->used + TRACE_EVENT_MOST > BUFFER_BYTES) {
        pthread_mutex_lock(&file_lock);
        write_buffer(buffer);
        pthread_mutex_unlock(&file_lock);
    }
    if (buffer->events == 0) {
        buffer->order = least_order(event);
        buffer->time = event->time;
        buffer->coder = (struct trace_coder){.order = buffer->order, .time = event->time};
    }
    uint8_t *at = buffer->bytes + TRACE_CHUNK_HEAD + buffer->used;
    buffer->used += (uint32_t)trace_put_event(at, &buffer->coder, event);
    buffer->events++;
}

/* The chunk of a thread that has no buffer any more. */
static void write_alone(const struct trace_event *event)
{
    uint8_t bytes[TRACE_CHUNK_HEAD + TRACE_EVENT_MOST];
    struct trace_coder coder = {.order = least_order(event), .time = event->time};
    size_t used = trace_put_event(bytes + TRACE_CHUNK_HEAD, &coder, event);
    pthread_mutex_lock(&file_lock);
    if (writer_is_on())
        write_chunk(bytes, (struct trace_chunk_head){
                               .bytes = (uint32_t)used,
                               .thread = my_thread,
                               .events = 1,
                               .order = least_order(event),
                               .time = event->time,
                           });
    pthread_mutex_unlock(&file_lock);
}

/* ---- Threads ------------------------------------------------------------- */

uint32_t writer_number_thread(void)
{
    return atomic_fetch_add(&next_thread, 1);
}

void writer_become_thread(uint32_t number)
{
    my_thread = number;
    my_buffer = number < TRACE_THREAD_MOST ? take_buffer(number) : NULL;
    pthread_setspecific(end_key, &end_key);
}

void writer_note(struct trace_event *event)
{
    int saved_errno = errno;
    event->time = now();
    if (my_thread == UNKNOWN)
        writer_become_thread(writer_number_thread());
    struct buffer *buffer = my_buffer;
    if (i_ended) {
        write_alone(event);
    } else if (buffer == NULL || atomic_exchange(&buffer->busy, 1) != 0) {
        atomic_fetch_add(&lost, 1); /* no memory, or a signal's handler inside of us */
    } else {
        if (atomic_load(&is_on))
            append(buffer, event);
        atomic_store(&buffer->busy, 0);
    }
    errno = saved_errno;
}

/* Runs in each of the passes over destructors, since others may follow. */
static void thread_ends(void *value)
{
    if (++destructor_passes < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(end_key, value);
        return;
    }
    if (!writer_is_on() || my_buffer == NULL)
        return;
    writer_note(&(struct trace_event){.operation = TRACE_THREAD_END, .order = writer_draw_order()});
    struct buffer *buffer = my_buffer;
    i_ended = true;
    my_buffer = NULL;
    give_back_buffer(buffer);
}

/* ---- Begin and end ------------------------------------------------------- */

void writer_begin(void)
{
    process = getpid();
    if (!open_file())
        return;
    if (pthread_key_create(&end_key, thread_ends) != 0) {
        say("no key of thread-specific data is left; nothing is recorded");
        return;
    }
    atomic_store(&is_on, write_header());
    if (writer_is_on())
        writer_become_thread(writer_number_thread());
}

/* Whether the condition came true in time; a thread stopped inside its buffer
 * or in a write must not keep the program from ending. */
static bool take_file_lock(void)
{
    for (int waited = 0; pthread_mutex_trylock(&file_lock) != 0; waited += 100) {
        if (waited >= FINISH_MOST)
            return false;
        usleep(100);
    }
    return true;
}

static void wait_while_busy(struct buffer *buffer)
{
    for (int waited = 0; buffer != my_buffer && atomic_load(&buffer->busy) != 0; waited += 100) {
        if (waited >= FINISH_MOST) {
            atomic_fetch_add(&lost, buffer->events);
            buffer->events = buffer->used = 0;
            return;
        }
        usleep(100);
    }
}

void writer_finish(void)
{
    int cancel_state;
    if (!writer_is_on() || getpid() != process || atomic_exchange(&is_finished, true))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    atomic_store(&is_on, false);
    for (struct buffer *buffer = all_buffers; buffer != NULL; buffer = buffer->next_of_all)
        wait_while_busy(buffer);
    if (!take_file_lock()) {
        say("a thread doesn't finish its write: the trace is cut");
        return;
    }
    for (struct buffer *buffer = all_buffers; buffer != NULL; buffer = buffer->next_of_all)
        if (buffer->thread != UNKNOWN)
            write_buffer(buffer);
    if (file >= 0)
        write_end();
    pthread_mutex_unlock(&file_lock);
}

void writer_abandon(void)
{
    atomic_store(&is_on, false);
    atomic_store(&is_finished, true);
    if (file >= 0)
        close(file);
    file = -1;
}

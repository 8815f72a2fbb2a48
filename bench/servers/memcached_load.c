/*
 * A load client for memcached: text protocol, pipelined, several threads, each with several connections on one epoll.
 *
 * usage: memcached_load SOCKET THREADS CONNECTIONS KEYS OPERATIONS
 *
 * SOCKET is memcached's unix socket; CONNECTIONS are per thread; KEYS and OPERATIONS are totals. A connection sends a
 * batch of requests (60 % get, 35 % set, 5 % delete, values of 10 to 8,000 bytes), waits for all answers and sends the
 * next; now and then it closes and connects again, as clients do. Keys belong to one connection each, so every answer is
 * known beforehand: it is compared byte for byte and the first wrong one ends the program with status 1. So does a
 * server that is silent for 10 s. The sequence of requests depends on the arguments alone.
 *
 * Prints {"operations", "seconds", "latency_ns": {"batch": ...}}; the latency is that of a batch.
 * Nothing is shared between threads but the stop of the clock; each thread has its own struct load.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 16,                  /* requests sent at a time */
    BATCHES_PER_CONNECTION = 64, /* then it connects again */
    LEAST_VALUE = 10,
    MOST_VALUE = 8000, /* bytes */
    PATTERN_BYTES = 1 << 16,
    BUFFER_BYTES = BATCH * (MOST_VALUE + 128),
    SILENCE_MS = 10000,
};

struct connection {
    int file;
    uint64_t random;
    unsigned first_key, key_count;
    unsigned *version;      /* of each key; 0: the server doesn't have it */
    uint64_t batches_left;  /* in all */
    unsigned until_closing; /* batches before it connects again */
    char *request;
    size_t request_bytes, sent_bytes;
    char *expected;
    size_t expected_bytes, received_bytes;
    uint64_t sent_at;
};

struct load {
    pthread_t thread;
    unsigned connection_count;
    struct connection *connections;
    uint64_t to_do, batch_count; /* batches; answered ones */
    uint64_t *batch_ns;
    int epoll;
};

static const char *socket_path;
static char pattern[PATTERN_BYTES];

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "memcached_load: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL)
        fail("no memory");
    return memory;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* splitmix64, Steele, Lea and Flood 2014 */
static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

static uint64_t next_random(struct connection *connection)
{
    return connection->random = mix(connection->random);
}

/* The value of a key's version: a piece of the pattern.  Small ones are frequent. */
static const char *value_of(unsigned key, unsigned version, size_t *bytes)
{
    uint64_t hash = mix((uint64_t)key << 32 | version);
    uint64_t most = MOST_VALUE >> (hash & 7);
    *bytes = LEAST_VALUE + (hash >> 8) % (most - LEAST_VALUE);
    return pattern + (hash >> 32) % (PATTERN_BYTES - MOST_VALUE);
}

/* ---- batches of requests, each with the answers that are right ---- */

static void put(char *buffer, size_t *bytes, const char *text, size_t text_bytes)
{
    if (*bytes + text_bytes > BUFFER_BYTES)
        fail("a batch is longer than its buffer");
    memcpy(buffer + *bytes, text, text_bytes);
    *bytes += text_bytes;
}

#define REQUEST(connection, text, bytes) \
    put((connection)->request, &(connection)->request_bytes, text, bytes)
#define EXPECT(connection, text, bytes) \
    put((connection)->expected, &(connection)->expected_bytes, text, bytes)

static void request_set(struct connection *connection, unsigned key, unsigned *version)
{
    char line[64];
    size_t bytes;
    const char *value = value_of(key, ++*version, &bytes);
    REQUEST(connection, line,
            (size_t)snprintf(line, sizeof line, "set key:%u 0 0 %zu\r\n", key, bytes));
    REQUEST(connection, value, bytes);
    REQUEST(connection, "\r\n", 2);
    EXPECT(connection, "STORED\r\n", 8);
}

static void request_get(struct connection *connection, unsigned key, unsigned version)
{
    char line[64];
    REQUEST(connection, line, (size_t)snprintf(line, sizeof line, "get key:%u\r\n", key));
    if (version != 0) {
        size_t bytes;
        const char *value = value_of(key, version, &bytes);
        EXPECT(connection, line,
               (size_t)snprintf(line, sizeof line, "VALUE key:%u 0 %zu\r\n", key, bytes));
        EXPECT(connection, value, bytes);
        EXPECT(connection, "\r\n", 2);
    }
    EXPECT(connection, "END\r\n", 5);
}

static void request_delete(struct connection *connection, unsigned key, unsigned *version)
{
    char line[64];
    REQUEST(connection, line, (size_t)snprintf(line, sizeof line, "delete key:%u\r\n", key));
    if (*version != 0)
        EXPECT(connection, "DELETED\r\n", 9);
    else
        EXPECT(connection, "NOT_FOUND\r\n", 11);
    *version = 0;
}

static void make_batch(struct connection *connection)
{
    connection->request_bytes = connection->sent_bytes = 0;
    connection->expected_bytes = connection->received_bytes = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        uint64_t random = next_random(connection);
        unsigned at = (unsigned)(random >> 32) % connection->key_count;
        unsigned key = connection->first_key + at;
        unsigned *version = &connection->version[at];
        unsigned percent = (unsigned)random % 100;
        if (percent < 60)
            request_get(connection, key, *version);
        else if (percent < 95)
            request_set(connection, key, version);
        else
            request_delete(connection, key, version);
    }
}

/* ---- connections ---- */

static void connect_to_server(struct load *load, struct connection *connection)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        fail("the socket's name is too long");
    strcpy(address.sun_path, socket_path);
    connection->file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->file < 0 ||
        connect(connection->file, (struct sockaddr *)&address, sizeof address) != 0)
        fail("cannot connect");
    if (fcntl(connection->file, F_SETFL, O_NONBLOCK) != 0)
        fail("fcntl");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->file, &event) != 0)
        fail("epoll_ctl");
    connection->until_closing = BATCHES_PER_CONNECTION;
}

static void send_rest(struct load *load, struct connection *connection)
{
    while (connection->sent_bytes < connection->request_bytes) {
        ssize_t sent = send(connection->file, connection->request + connection->sent_bytes,
                            connection->request_bytes - connection->sent_bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            fail("send");
        if (sent < 0)
            break;
        connection->sent_bytes += (size_t)sent;
    }
    bool is_sent = connection->sent_bytes == connection->request_bytes;
    struct epoll_event event = {.events = is_sent ? EPOLLIN : EPOLLIN | EPOLLOUT,
                                .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->file, &event) != 0)
        fail("epoll_ctl");
}

static void start_batch(struct load *load, struct connection *connection)
{
    if (connection->batches_left == 0) {
        close(connection->file);
        connection->file = -1;
        return;
    }
    connection->batches_left--;
    if (connection->until_closing-- == 0) {
        close(connection->file);
        connect_to_server(load, connection);
    }
    make_batch(connection);
    connection->sent_at = now_ns();
    send_rest(load, connection);
}

static void receive(struct load *load, struct connection *connection)
{
    static _Thread_local char buffer[BUFFER_BYTES];
    size_t missing = connection->expected_bytes - connection->received_bytes;
    ssize_t received = recv(connection->file, buffer, missing, 0);
    if (received < 0 && errno == EAGAIN)
        return;
    if (received <= 0)
        fail("the server closed the connection");
    if (memcmp(buffer, connection->expected + connection->received_bytes, (size_t)received) != 0) {
        errno = 0;
        fail("a wrong answer");
    }
    connection->received_bytes += (size_t)received;
    if (connection->received_bytes == connection->expected_bytes) {
        load->batch_ns[load->batch_count++] = now_ns() - connection->sent_at;
        start_batch(load, connection);
    }
}

static void *run(void *argument)
{
    struct load *load = argument;
    for (unsigned i = 0; i < load->connection_count; i++) {
        connect_to_server(load, &load->connections[i]);
        start_batch(load, &load->connections[i]);
    }
    while (load->batch_count < load->to_do) {
        struct epoll_event events[64];
        int count = epoll_wait(load->epoll, events, 64, SILENCE_MS);
        if (count == 0)
            errno = ETIMEDOUT;
        if (count <= 0)
            fail("no answer");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                send_rest(load, connection);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                receive(load, connection);
        }
    }
    return NULL;
}

/* ---- start and result ---- */

static void prepare(struct load *load, unsigned number, unsigned connections, unsigned keys,
                    uint64_t batches)
{
    load->connection_count = connections;
    load->connections = allocate(connections, sizeof *load->connections);
    load->to_do = batches * connections;
    load->batch_ns = allocate(load->to_do, sizeof *load->batch_ns);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        fail("epoll_create1");
    for (unsigned i = 0; i < connections; i++) {
        struct connection *connection = &load->connections[i];
        connection->batches_left = batches;
        connection->random = mix(number * connections + i);
        connection->key_count = keys;
        connection->first_key = (number * connections + i) * keys;
        connection->version = allocate(keys, sizeof *connection->version);
        connection->request = allocate(BUFFER_BYTES, 1);
        connection->expected = allocate(BUFFER_BYTES, 1);
    }
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void print_result(struct load *loads, unsigned threads, uint64_t took_ns)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < threads; i++)
        count += loads[i].batch_count;
    uint64_t *all = allocate(count, sizeof *all), at = 0;
    for (unsigned i = 0; i < threads; i++) {
        memcpy(all + at, loads[i].batch_ns, loads[i].batch_count * sizeof *all);
        at += loads[i].batch_count;
    }
    qsort(all, count, sizeof *all, compare);
    printf("{\"operations\": %llu, \"seconds\": %.6f, \"latency_ns\": {\"batch\": {",
           (unsigned long long)count * BATCH, (double)took_ns / 1e9);
    static const struct {
        const char *name;
        double part;
    } columns[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}};
    for (unsigned i = 0; i < sizeof columns / sizeof *columns; i++)
        printf("\"%s\": %llu, ", columns[i].name,
               (unsigned long long)all[(uint64_t)((double)(count - 1) * columns[i].part)]);
    printf("\"count\": %llu}}}\n", (unsigned long long)count);
    free(all);
}

static void release(struct load *load)
{
    for (unsigned i = 0; i < load->connection_count; i++) {
        free(load->connections[i].version);
        free(load->connections[i].request);
        free(load->connections[i].expected);
    }
    free(load->connections);
    free(load->batch_ns);
    close(load->epoll);
}

static unsigned long number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || value == 0 || value > 1000000000)
        fail("THREADS, CONNECTIONS, KEYS and OPERATIONS are positive numbers");
    return value;
}

int main(int count, char **words)
{
    if (count != 6) {
        fprintf(stderr, "usage: memcached_load SOCKET THREADS CONNECTIONS KEYS OPERATIONS\n");
        return 2;
    }
    socket_path = words[1];
    unsigned threads = (unsigned)number(words[2]), connections = (unsigned)number(words[3]);
    unsigned long total = (unsigned long)threads * connections;
    unsigned keys = (unsigned)(number(words[4]) / total + 1);
    uint64_t batches = number(words[5]) / BATCH / total; /* of a connection */
    if (batches == 0)
        fail("too few OPERATIONS: one batch per connection is the least");
    for (unsigned i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (char)('!' + mix(i) % 90);

    struct load *loads = allocate(threads, sizeof *loads);
    for (unsigned i = 0; i < threads; i++)
        prepare(&loads[i], i, connections, keys, batches);
    uint64_t started = now_ns();
    for (unsigned i = 0; i < threads; i++) {
        errno = pthread_create(&loads[i].thread, NULL, run, &loads[i]);
        if (errno != 0)
            fail("pthread_create");
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(loads[i].thread, NULL);
    print_result(loads, threads, now_ns() - started);
    for (unsigned i = 0; i < threads; i++)
        release(&loads[i]);
    free(loads);
    return 0;
}

/* The load for streams: opens HTTP/1.1 connections, sends a prepared request on each, reads JSON or SSE answers,
 * counts every event and prints one JSON object. It knows nothing of MCP but three words: "notifications/progress",
 * "result" and "isError". Everything it does is bounded in time and count.
 *
 *   streams calls  PORT REQUEST --connections N --seconds S [--events K] [--pause MS]
 *       Each connection sends the request again and again until S seconds are over; each answer must hold exactly K
 *       progress events, rising, and one result. Reports events, answers, latency of the first event and of the answer.
 *   streams open   PORT REQUEST --connections N --seconds S [--ramp S]
 *       Opens N streams, prints {"open": N} when each had its first event (or when the ramp time is over), counts what
 *       arrives in the S seconds after that, then resets all connections.
 *   streams cancel PORT REQUEST --connections N [--fin] [--pause MS]
 *       N times: open, wait for the first event, note the time, close with a reset (or, with --fin, a plain close).
 *       Reports the time of each close on CLOCK_MONOTONIC.
 *
 * REQUEST is a file with the whole HTTP request; each run of six @ in it is replaced by a number, from 100000 on,
 * that no other request of the run has.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, LINE_MAX_KEPT = 2048, READ_SIZE = 65536, FIRST_NUMBER = 100000, LAST_NUMBER = 999999 };
enum { RAMP_IN_FLIGHT = 64, GRACE_SECONDS = 15, ANSWER_SECONDS = 5 };

/* ---- options and totals --------------------------------------------------------------------------------------- */

static int port, connections = 1, use_fin;
static long expected_events = -1;
static double seconds = 1, ramp_seconds = 30, pause_ms;
static char *template_bytes;
static size_t template_size;
static long next_number = FIRST_NUMBER;
static long total_events, total_answers, errors;
static char first_error[256];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void count_error(const char *what) {
    if (!errors++) snprintf(first_error, sizeof first_error, "%.200s", what);
}

/* ---- a growing list of seconds, and its percentiles ----------------------------------------------------------- */

struct samples {
    double *values;
    size_t count, room;
};

static void record(struct samples *samples, double value) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
        if (!samples->values) fail("out of memory");
    }
    samples->values[samples->count++] = value;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_latency(const char *name, struct samples *samples) {
    qsort(samples->values, samples->count, sizeof *samples->values, by_value);
    size_t last = samples->count - 1;
    if (!samples->count) return;
    printf(", \"%s_p50_ms\": %.4f, \"%s_p99_ms\": %.4f, \"%s_max_ms\": %.4f", name, samples->values[last / 2] * 1e3, name,
           samples->values[(size_t)(last * 0.99 + 0.5)] * 1e3, name, samples->values[last] * 1e3);
}

/* ---- one answer, parsed as it arrives ------------------------------------------------------------------------- */

enum state { HEAD, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, LENGTH, DONE, BROKEN };

struct answer {
    enum state state;
    int chunked, sse, results;
    size_t left;            /* bytes to come of this chunk or body */
    char head[HEAD_MAX];    /* status line and headers; then each chunk-size line */
    size_t head_size;
    char line[LINE_MAX_KEPT + 1]; /* the SSE line being read, or the JSON body; what is longer is cut */
    size_t line_size;
    long events;
    double progress;        /* the last progress seen */
};

static void begin_answer(struct answer *answer) {
    answer->state = HEAD;
    answer->chunked = answer->sse = answer->results = 0;
    answer->head_size = answer->line_size = 0;
    answer->events = 0;
    answer->progress = -1;
}

static void broken(struct answer *answer, const char *why) {
    count_error(why);
    answer->state = BROKEN;
}

static void read_message(struct answer *answer) {
    char *line = answer->line;
    line[answer->line_size] = 0;
    if (strstr(line, "\"notifications/progress\"")) {
        char *value = strstr(line, "\"progress\":");
        double progress = value ? strtod(value + strlen("\"progress\":"), NULL) : -1;
        if (progress <= answer->progress) broken(answer, "progress does not rise");
        answer->progress = progress;
        answer->events++;
        total_events++;
    } else if (strstr(line, "\"result\"") && !strstr(line, "\"isError\":true") && !strstr(line, "\"isError\": true")) {
        answer->results++;
    } else {
        count_error(line);
    }
}

static void end_line(struct answer *answer) {
    size_t size = answer->line_size;
    if (size && answer->line[size - 1] == '\r') size--;
    if (size > 7 && !memcmp(answer->line, "data:", 5)) read_message(answer);
    answer->line_size = 0;
}

static void take_body(struct answer *answer, const char *data, size_t size) {
    while (size) {
        const char *end = answer->sse ? memchr(data, '\n', size) : NULL;
        size_t part = end ? (size_t)(end - data) : size, room = LINE_MAX_KEPT - answer->line_size;
        memcpy(answer->line + answer->line_size, data, part < room ? part : room);
        answer->line_size += part < room ? part : room;
        if (end) end_line(answer), part++;
        data += part, size -= part;
    }
}

static void end_body(struct answer *answer) {
    if (!answer->sse) read_message(answer);
    if (answer->state != BROKEN) answer->state = DONE;
}

static void end_head(struct answer *answer) {
    char *head = answer->head;
    if (strncmp(head, "HTTP/1.1 200", 12)) {
        head[strcspn(head, "\r\n")] = 0;
        broken(answer, head);
        return;
    }
    char *length = strcasestr(head, "\ncontent-length:");
    answer->chunked = strcasestr(head, "\ntransfer-encoding: chunked") != NULL;
    answer->sse = strcasestr(head, "\ncontent-type: text/event-stream") != NULL;
    answer->head_size = 0;
    answer->left = length ? strtoul(length + strlen("\ncontent-length:"), NULL, 10) : 0;
    answer->state = answer->chunked ? CHUNK_SIZE : LENGTH;
    if (!answer->chunked && !answer->left) broken(answer, "an answer without a length");
}

/* Collects bytes up to the end of a line (or of the head); true when it is complete. */
static int take_head(struct answer *answer, char byte, const char *ending) {
    size_t want = strlen(ending);
    if (answer->head_size == HEAD_MAX - 1) return broken(answer, "a header section too long"), 0;
    answer->head[answer->head_size++] = byte;
    answer->head[answer->head_size] = 0;
    return answer->head_size >= want && !memcmp(answer->head + answer->head_size - want, ending, want);
}

static void end_chunk_size(struct answer *answer) {
    answer->left = strtoul(answer->head, NULL, 16);
    answer->head_size = 0;
    answer->state = answer->left ? CHUNK_DATA : TRAILER;
}

static size_t take_counted(struct answer *answer, const char *data, size_t size) {
    size_t part = size < answer->left ? size : answer->left;
    enum state state = answer->state;
    take_body(answer, data, part);
    answer->left -= part;
    if (answer->left || answer->state != state) return part;
    if (state == LENGTH) end_body(answer);
    else answer->state = CHUNK_END;
    return part;
}

static void feed(struct answer *answer, const char *data, size_t size) {
    for (size_t at = 0; at < size && answer->state < DONE;) {
        switch (answer->state) {
        case HEAD: if (take_head(answer, data[at++], "\r\n\r\n")) end_head(answer); break;
        case CHUNK_SIZE: if (take_head(answer, data[at++], "\r\n")) end_chunk_size(answer); break;
        case CHUNK_END: if (data[at++] == '\n') answer->state = CHUNK_SIZE; break;
        case TRAILER: if (take_head(answer, data[at++], "\r\n")) end_body(answer); break;
        default: at += take_counted(answer, data + at, size - at);
        }
    }
}

/* ---- connections ---------------------------------------------------------------------------------------------- */

struct connection {
    int fd;
    char *request;
    size_t sent;
    int had_first;
    double sent_at, resume_at; /* resume_at > 0: pausing until then */
    struct answer answer;
};

static int poller;
static struct samples first_latency, answer_latency;

static int open_socket(int extra_flags) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | extra_flags, 0);
    if (fd < 0) fail("socket");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) fail("connect");
    return fd;
}

static void reset_socket(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void number_request(char *request) {
    char digits[8];
    snprintf(digits, sizeof digits, "%06ld", next_number);
    next_number = next_number < LAST_NUMBER ? next_number + 1 : FIRST_NUMBER;
    memcpy(request, template_bytes, template_size);
    for (char *mark = request; (mark = memmem(mark, template_size - (mark - request), "@@@@@@", 6)); mark += 6)
        memcpy(mark, digits, 6);
}

static void watch(struct connection *connection, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = connection};
    if (epoll_ctl(poller, operation, connection->fd, &event)) fail("epoll_ctl");
}

static void push_request(struct connection *connection) {
    ssize_t size = send(connection->fd, connection->request + connection->sent, template_size - connection->sent,
                        MSG_NOSIGNAL);
    if (size < 0 && errno != EAGAIN && errno != ENOTCONN) broken(&connection->answer, "the request could not be sent");
    if (size > 0) connection->sent += size;
    watch(connection, EPOLL_CTL_MOD, connection->sent < template_size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void start_request(struct connection *connection) {
    begin_answer(&connection->answer);
    number_request(connection->request);
    connection->sent = connection->had_first = 0;
    connection->resume_at = 0;
    connection->sent_at = now();
    push_request(connection);
}

static void start_connection(struct connection *connection) {
    connection->fd = open_socket(SOCK_NONBLOCK);
    connection->request = malloc(template_size);
    if (!connection->request) fail("out of memory");
    watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
    start_request(connection);
}

static void stop_connection(struct connection *connection) {
    if (connection->fd >= 0) reset_socket(connection->fd);
    connection->fd = -1;
}

static void note_first(struct connection *connection) {
    if (connection->had_first || (!connection->answer.events && connection->answer.state != DONE)) return;
    connection->had_first = 1;
    record(&first_latency, now() - connection->sent_at);
}

/* Reads what is there; false when the connection is lost or the answer broken. */
static int pull_answer(struct connection *connection) {
    static char buffer[READ_SIZE];
    ssize_t size = recv(connection->fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) return 1;
    if (size <= 0) {
        count_error(size ? strerror(errno) : "closed by the server in the middle of an answer");
        return 0;
    }
    feed(&connection->answer, buffer, size);
    note_first(connection);
    return connection->answer.state != BROKEN;
}

static int serve_event(struct epoll_event *event) {
    struct connection *connection = event->data.ptr;
    if (connection->fd < 0) return 0;
    if (event->events & EPOLLOUT) push_request(connection);
    if (!(event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))) return 1;
    if (pull_answer(connection)) return 1;
    stop_connection(connection);
    return 0;
}

static struct connection *make_connections(void) {
    struct connection *all = calloc(connections, sizeof *all);
    if (!all) fail("out of memory");
    for (int i = 0; i < connections; i++) all[i].fd = -1;
    poller = epoll_create1(0);
    return all;
}

static void print_end(void) {
    for (char *at = first_error; *at; at++)
        if (*at == '"' || *at == '\\' || (unsigned char)*at < ' ' || (unsigned char)*at > '~') *at = '\'';
    printf(", \"errors\": %ld, \"first_error\": \"%s\"}\n", errors, first_error);
}

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static void end_call(struct connection *connection, double deadline) {
    struct answer *answer = &connection->answer;
    double at = now();
    if (answer->results != 1) count_error("an answer without exactly one result");
    if (expected_events >= 0 && answer->events != expected_events) count_error("events are missing");
    total_answers++;
    record(&answer_latency, at - connection->sent_at);
    if (at >= deadline) stop_connection(connection);
    else if (pause_ms > 0) connection->resume_at = at + pause_ms / 1e3;
    else start_request(connection);
}

static void wake_paused(struct connection *all, double deadline) {
    double at = now();
    for (int i = 0; i < connections; i++) {
        if (all[i].fd < 0 || !all[i].resume_at || all[i].resume_at > at) continue;
        if (at >= deadline) stop_connection(&all[i]);
        else start_request(&all[i]);
    }
}

static int count_open(struct connection *all) {
    int open = 0;
    for (int i = 0; i < connections; i++) open += all[i].fd >= 0;
    return open;
}

static void run_calls(void) {
    struct connection *all = make_connections();
    struct epoll_event ready[256];
    double start = now(), deadline = start + seconds;
    for (int i = 0; i < connections; i++) start_connection(&all[i]);
    while (count_open(all) && now() < deadline + GRACE_SECONDS) {
        int count = epoll_wait(poller, ready, 256, pause_ms > 0 ? 1 : 100);
        for (int i = 0; i < count; i++) {
            struct connection *connection = ready[i].data.ptr;
            if (serve_event(&ready[i]) && connection->answer.state == DONE && !connection->resume_at)
                end_call(connection, deadline);
        }
        if (pause_ms > 0) wake_paused(all, deadline);
    }
    if (count_open(all)) count_error("an answer did not end in time");
    printf("{\"elapsed\": %.6f, \"events\": %ld, \"answers\": %ld", now() - start, total_events, total_answers);
    print_latency("first", &first_latency);
    print_latency("answer", &answer_latency);
    print_end();
}

/* ---- open ----------------------------------------------------------------------------------------------------- */

static void poll_once(struct epoll_event *ready, int wait_ms) {
    int count = epoll_wait(poller, ready, 256, wait_ms);
    for (int i = 0; i < count; i++) {
        struct connection *connection = ready[i].data.ptr;
        if (!serve_event(&ready[i]) || connection->answer.state != DONE) continue;
        count_error("a stream ended that should stay open");
        stop_connection(connection);
    }
}

static long open_all(struct connection *all, struct epoll_event *ready) {
    double deadline = now() + ramp_seconds;
    int started = 0;
    while ((long)first_latency.count + errors < connections && now() < deadline) {
        while (started < connections && started - (long)first_latency.count - errors < RAMP_IN_FLIGHT)
            start_connection(&all[started++]);
        poll_once(ready, 10);
    }
    return first_latency.count;
}

static long fewest_events(struct connection *all, const long *before) {
    long fewest = -1;
    for (int i = 0; i < connections; i++) {
        long events = all[i].answer.events - before[i];
        if (all[i].had_first && (fewest < 0 || events < fewest)) fewest = events;
    }
    return fewest;
}

static void run_open(void) {
    struct connection *all = make_connections();
    struct epoll_event ready[256];
    long *before = calloc(connections, sizeof *before), open = open_all(all, ready);
    for (double settled = now() + 1; now() < settled;) poll_once(ready, 10);
    for (int i = 0; i < connections; i++) before[i] = all[i].answer.events;
    printf("{\"open\": %ld}\n", open);
    fflush(stdout);
    long events = total_events;
    double start = now();
    while (now() < start + seconds) poll_once(ready, 10);
    printf("{\"elapsed\": %.6f, \"open\": %ld, \"events\": %ld, \"fewest\": %ld", now() - start, open,
           total_events - events, fewest_events(all, before));
    print_end();
    for (int i = 0; i < connections; i++) stop_connection(&all[i]);
}

/* ---- cancel --------------------------------------------------------------------------------------------------- */

static void sleep_ms(double ms) {
    struct timespec rest = {.tv_sec = (time_t)(ms / 1e3), .tv_nsec = (long)(ms * 1e6) % 1000000000L};
    nanosleep(&rest, NULL);
}

static int wait_first_event(int fd, struct answer *answer) {
    static char buffer[READ_SIZE];
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    begin_answer(answer);
    while (!answer->events && answer->state < DONE) {
        ssize_t size = recv(fd, buffer, sizeof buffer, 0);
        if (size <= 0) return 0;
        feed(answer, buffer, size);
    }
    return answer->events > 0;
}

static void cancel_once(char *request, struct answer *answer, struct samples *closed) {
    int fd = open_socket(0);
    number_request(request);
    if (send(fd, request, template_size, MSG_NOSIGNAL) != (ssize_t)template_size) count_error("a short write");
    else if (!wait_first_event(fd, answer)) count_error("no first event");
    sleep_ms(pause_ms);
    record(closed, now());
    if (use_fin) close(fd);
    else reset_socket(fd);
    sleep_ms(pause_ms);
}

static void run_cancel(void) {
    struct answer *answer = malloc(sizeof *answer);
    struct samples closed = {0};
    char *request = malloc(template_size);
    double deadline = now() + seconds;
    for (int i = 0; i < connections && now() < deadline; i++) cancel_once(request, answer, &closed);
    printf("{\"closed\": [");
    for (size_t i = 0; i < closed.count; i++) printf("%s%.9f", i ? ", " : "", closed.values[i]);
    printf("]");
    print_end();
}

/* ---- the command line ----------------------------------------------------------------------------------------- */

static void read_template(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    template_bytes = malloc(1 << 16);
    template_size = fread(template_bytes, 1, 1 << 16, file);
    fclose(file);
}

static void read_options(int count, char **words) {
    static const struct option known[] = {
        {"connections", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"events", 1, 0, 'e'}, {"pause", 1, 0, 'p'},
        {"ramp", 1, 0, 'r'},        {"fin", 0, 0, 'f'},     {0, 0, 0, 0},
    };
    for (int option; (option = getopt_long(count, words, "", known, NULL)) != -1;) {
        switch (option) {
        case 'c': connections = atoi(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'e': expected_events = atol(optarg); break;
        case 'p': pause_ms = atof(optarg); break;
        case 'r': ramp_seconds = atof(optarg); break;
        case 'f': use_fin = 1; break;
        default: exit(2);
        }
    }
    if (count - optind != 3) fprintf(stderr, "usage: streams calls|open|cancel PORT REQUEST [options]\n"), exit(2);
}

int main(int count, char **words) {
    read_options(count, words);
    const char *mode = words[optind];
    port = atoi(words[optind + 1]);
    read_template(words[optind + 2]);
    if (!strcmp(mode, "calls")) run_calls();
    else if (!strcmp(mode, "open")) run_open();
    else if (!strcmp(mode, "cancel")) run_cancel();
    else fprintf(stderr, "streams: unknown mode %s\n", mode), exit(2);
    return 0;
}

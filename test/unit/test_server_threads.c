/* SPDX-License-Identifier: Apache-2.0 */
/* A whole process in this one: serve_run on a thread of its own, clients of both protocols on real sockets, the end by
 * SIGTERM under load, and a new start on the same directory. What was answered is there; run it under ThreadSanitizer.
 */
#include "testing.h"

#include "server/serve.h"
#include "server/settings.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>

#define CLIENTS 6
#define PIPELINE 50
#define ROUNDS 3

struct world {
    char directory[64];
    uint16_t port;
    struct settings settings;
    pthread_t server;
    int status;
    atomic_bool is_over;                      /* clients stop when the next reply does not come */
    atomic_uint_fast64_t answered, attempted; /* over all rounds */
};

static struct world world;

/* A port that nobody has at this moment. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int client_connect(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(world.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct timeval limit = { .tv_sec = 30 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Reads until `wanted` occurrences of mark, the end, or `refusal`. Returns how many there were. */
static uint32_t count_marks(int fd, char mark, uint32_t wanted, char refusal)
{
    char text[4096];
    uint32_t seen = 0;
    while (seen < wanted) {
        ssize_t got = recv(fd, text, sizeof text, 0);
        if (got <= 0) break;
        for (ssize_t i = 0; i < got; i++) seen += text[i] == mark;
        if (memchr(text, refusal, (size_t)got)) break;
    }
    return seen;
}

static void *resp_client(void *unused)
{
    struct buffer batch = { 0 };
    for (int i = 0; i < PIPELINE; i++) buffer_text(&batch, "*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n");
    buffer_u8(&batch, '\0');
    int fd = client_connect();
    while (fd >= 0 && !atomic_load(&world.is_over)) {
        atomic_fetch_add(&world.attempted, PIPELINE);
        if (!send_all(fd, (const char *)batch.ptr)) break;
        uint32_t answered = count_marks(fd, ':', PIPELINE, '-');
        atomic_fetch_add(&world.answered, answered);
        if (answered < PIPELINE) break;
    }
    if (fd >= 0) close(fd);
    buffer_release(&batch);
    return unused;
}

static void *http_client(void *unused)
{
    static const char request[] = "POST /v1/counters/c/increment HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"delta\":1}";
    static const char others[] = "GET /v1/verify HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                 "DELETE /v1/cluster/members/nobody HTTP/1.1\r\nHost: localhost\r\n\r\n"
                                 "GET /v1/cluster HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = client_connect();
    for (uint32_t i = 0; fd >= 0 && !atomic_load(&world.is_over); i++) {
        atomic_fetch_add(&world.attempted, 1);
        char text[4096];
        if (!send_all(fd, request)) break;
        ssize_t got = recv(fd, text, sizeof text - 1, 0);
        if (got <= 0 || strncmp(text, "HTTP/1.1 200", 12) != 0) break;
        atomic_fetch_add(&world.answered, 1);
        if (i % 16 == 0 && (!send_all(fd, others) || count_marks(fd, '{', 5, '!') < 5)) break;
    }
    if (fd >= 0) close(fd);
    return unused;
}

static void *server_thread(void *unused)
{
    world.status = serve_run(&world.settings);
    return unused;
}

static void server_start(void)
{
    assert_int_equal(pthread_create(&world.server, NULL, server_thread, NULL), 0);
    int fd = -1;
    while ((fd = client_connect()) < 0) sched_yield(); /* once it listens, what connects waits for it */
    assert_true(send_all(fd, "PING\r\n"));
    char text[16];
    assert_int_equal(recv(fd, text, sizeof text, 0), 7);
    close(fd);
}

static void server_end(void)
{
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(pthread_join(world.server, NULL), 0);
    assert_int_equal(world.status, 0);
}

static uint64_t value_shown(void)
{
    char text[64] = "";
    int fd = client_connect();
    assert_true(fd >= 0);
    assert_true(send_all(fd, "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n"));
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    assert_true(got > 0 && text[0] == '$');
    close(fd);
    return strtoull(strchr(text, '\n') + 1, NULL, 10);
}

/* Ends it under load in each round; `wanted` more answers come first. */
static void load_round(uint64_t wanted)
{
    pthread_t clients[CLIENTS];
    uint64_t before = atomic_load(&world.answered);
    atomic_store(&world.is_over, false);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, i % 2 ? http_client : resp_client, NULL), 0);
    while (atomic_load(&world.answered) < before + wanted) sched_yield();
    server_end();
    atomic_store(&world.is_over, true);
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(pthread_join(clients[i], NULL), 0);
}

/* It holds files only. */
static void directory_remove(const char *path)
{
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.') assert_int_equal(unlinkat(dirfd(directory), entry->d_name, 0), 0);
    closedir(directory);
    assert_int_equal(rmdir(path), 0);
}

static void settings_for(const char *durability)
{
    char node[32], error[SETTINGS_ERROR_BYTES];
    world.port = free_port();
    (void)snprintf(node, sizeof node, "127.0.0.1:%u", world.port);
    char *argv[] = { "--node-id", node, "--data-dir", world.directory, "--durability", (char *)(uintptr_t)durability,
                     "--workers", "2",  "--discover", "off",           "--log-level",  "error" };
    char *environment[] = { NULL };
    assert_ok(settings_parse((int)(sizeof argv / sizeof *argv), argv, environment, &world.settings, error));
}

static void run_story(const char *durability)
{
    world = (struct world){ .directory = "/tmp/quipu-threads-XXXXXX" };
    assert_non_null(mkdtemp(world.directory));
    settings_for(durability);
    for (int round = 0; round < ROUNDS; round++) {
        server_start();
        load_round(2000);
        server_start();
        uint64_t shown = value_shown();
        assert_in_range(shown, atomic_load(&world.answered), atomic_load(&world.attempted));
        server_end();
    }
    settings_release(&world.settings);
    directory_remove(world.directory);
}

static void test_answered_increments_outlive_ends_under_load_with_sync(void **state)
{
    (void)state;
    run_story("sync");
}

static void test_answered_increments_outlive_ends_under_load_with_async(void **state)
{
    (void)state;
    run_story("async");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_increments_outlive_ends_under_load_with_sync),
        cmocka_unit_test(test_answered_increments_outlive_ends_under_load_with_async),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The input's lines are a command line, those behind an empty line the environment. Whatever they are, either all
 * settings keep their promises or one printable line says why not. The last of the lines ends at an unmapped page. */
#include "server/settings.h"
#include "server/text.h"

#include "fuzz/harness.h"

#include <stdlib.h>

#define WORDS_MAX 64

struct words {
    char *argv[WORDS_MAX + 1], *environment[WORDS_MAX + 1];
    int argc, environment_count;
};

/* Cuts text, which ends with a NUL, at its line feeds. */
static void split(char *text, struct words *ret_words)
{
    bool in_environment = false;
    for (char *line; (line = strsep(&text, "\n"));) {
        if (!in_environment && line[0] == '\0')
            in_environment = true;
        else if (in_environment && ret_words->environment_count < WORDS_MAX)
            ret_words->environment[ret_words->environment_count++] = line;
        else if (!in_environment && ret_words->argc < WORDS_MAX)
            ret_words->argv[ret_words->argc++] = line;
    }
}

static void check_line(const char *error)
{
    size_t len = strlen(error);
    REQUIRE(len > 0);
    REQUIRE(len < SETTINGS_ERROR_BYTES);
    for (size_t i = 0; i < len; i++) REQUIRE((unsigned char)error[i] >= ' ');
}

static void check_endpoint(const struct endpoint *e)
{
    struct endpoint again;
    REQUIRE(endpoint_parse(bytes_of_text(e->text), &again) == ERR_OK);
    REQUIRE(strcmp(again.host, e->host) == 0);
    REQUIRE(again.port == e->port);
}

static void check_help(void)
{
    struct buffer out = { 0 };
    settings_help(&out);
    REQUIRE(buffer_end(&out) == ERR_OK);
    for (size_t i = 0; i < out.len; i++) REQUIRE(out.ptr[i] == '\n' || (out.ptr[i] >= ' ' && out.ptr[i] <= '~'));
    buffer_release(&out);
}

static void check_settings(const struct settings *s)
{
    struct endpoint peer;
    if (s->wish == SETTINGS_HELP) check_help();
    if (s->wish != SETTINGS_SERVE) return;
    check_endpoint(&s->node);
    check_endpoint(&s->listen);
    REQUIRE(s->insecure || endpoint_is_loopback(&s->listen));
    REQUIRE(endpoint_is_loopback(&s->listen) || !endpoint_is_loopback(&s->node));
    REQUIRE(s->peers_count <= PEERS_COUNT_MAX);
    for (uint32_t i = 0; i < s->peers_count; i++) {
        REQUIRE(endpoint_parse(bytes_of_text(s->peers[i]), &peer) == ERR_OK);
        REQUIRE(strcmp(s->peers[i], s->node.text) != 0);
    }
    REQUIRE(s->data_dir_none == (s->data_dir[0] == '\0'));
    REQUIRE(!(s->data_dir_none && s->durability_sync));
    REQUIRE(s->workers >= 1 && s->workers <= 64);
    REQUIRE(s->cluster[0] != '\0' && s->discover_port > 0);
    REQUIRE(s->heartbeat_ms >= 10 && s->heartbeat_ms < s->peer_timeout_ms);
    REQUIRE(s->backoff_ms_min >= 10 && s->backoff_ms_min <= s->backoff_ms_max);
    REQUIRE(s->log_format <= LOG_JSON && s->log_level <= LOG_DEBUG);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words words = { .argc = 0 };
    struct settings settings;
    char error[SETTINGS_ERROR_BYTES];
    struct buffer text = { 0 };
    buffer_bytes(&text, bytes_of(data, size));
    buffer_u8(&text, 0);
    REQUIRE(buffer_end(&text) == ERR_OK);
    split((char *)fence_copy(0, buffer_view(&text)).ptr, &words);
    enum err err = settings_parse(words.argc, words.argv, words.environment, &settings, error);
    REQUIRE(err == ERR_OK || err == ERR_INVALID);
    if (err == ERR_OK) {
        check_settings(&settings);
        settings_release(&settings);
    } else {
        check_line(error);
    }
    buffer_release(&text);
    return 0;
}

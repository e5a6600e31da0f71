/* SPDX-License-Identifier: Apache-2.0 */
#include "server/notices.h"

#include "server/log.h"

#include <inttypes.h>
#include <stdio.h>

/* %n is the notice's node, %d its detail, %u its number. */
static const char *const templates[NOTICE_COUNT] = {
    [NOTICE_STARTED] = "node %n started with %u counters as replica %d",
    [NOTICE_PEER_UP] = "peer %n is up",
    [NOTICE_PEER_DOWN] = "peer %n is down: %d",
    [NOTICE_PEER_INDIRECT] = "peer %n is not heard from here, but by others: %d",
    [NOTICE_PEER_LEFT] = "%n is no member any more, known from %d",
    [NOTICE_MEMBER_NEW] = "member %n is new, known from %d",
    [NOTICE_RETRY] = "connect to %n failed: %d; next attempt in %u ms",
    [NOTICE_LINK_REFUSED] = "link with %n refused: %d",
    [NOTICE_LINK_BROKEN] = "link with %n broken: %d",
    [NOTICE_ROLLBACK] = ("this data directory is an old state or a copy: others went on from write %u of it; what "
                         "this node wrote since is kept under a new replica id: %d"),
    [NOTICE_SPLIT] = "another node's data directory was an old state or a copy: its writes since %u are kept apart: %d",
    [NOTICE_HISTORIES] = "%n has another history of replica %d than this node, from before write %u on: counts may differ",
    [NOTICE_CLONE] = "another process runs under this node's identity, seen at %n: %d",
    [NOTICE_PAUSED] = "this process stood still for %u ms",
    [NOTICE_WRITES_REFUSED] = "writes are refused: %d",
    [NOTICE_WRITES_TAKEN] = "writes are taken again",
    [NOTICE_LEAVING] = "this node is to leave: writes are refused until its peers have all of it",
    [NOTICE_LEAVE_FAILED] = "this node does not leave: %d",
    [NOTICE_DAMAGED] = "the journal is damaged in %u places, first in %d; what is sound is kept",
    [NOTICE_SNAPSHOT_FAILED] = "snapshot failed: %d",
    [NOTICE_CAUGHT_UP] = "caught up with all peers after %u ms",
};

#define X(name, level) [NOTICE_##name] = LOG_##level,
static const enum log_level levels[NOTICE_COUNT] = { NOTICE_LIST(X) };
#undef X

static void put(char *text, size_t *len, const char *piece)
{
    size_t room = NOTICE_TEXT_BYTES - *len;
    int written = snprintf(text + *len, room, "%s", piece);
    if (written > 0) *len += (size_t)written < room ? (size_t)written : room - 1;
}

void notice_text(const struct notice *notice, char ret_text[NOTICE_TEXT_BYTES])
{
    size_t len = 0;
    ret_text[0] = '\0';
    for (const char *at = templates[notice->kind]; *at; at++) {
        char piece[24] = { *at };
        const char *text = piece;
        if (*at == '%') {
            at++;
            if (*at == 'n') text = notice->node;
            if (*at == 'd') text = notice->detail[0] ? notice->detail : "no reason given";
            if (*at == 'u') (void)snprintf(piece, sizeof piece, "%" PRIu64, notice->number);
        }
        put(ret_text, &len, text);
    }
}

void notice_log(const struct notice *notice)
{
    static struct log_site sites[NOTICE_COUNT] = { [0 ... NOTICE_COUNT - 1] = LOG_SITE_INIT };
    char text[NOTICE_TEXT_BYTES];
    if (!log_wants(levels[notice->kind])) return;
    notice_text(notice, text);
    log_line_at(&sites[notice->kind], levels[notice->kind], "%s", text);
}

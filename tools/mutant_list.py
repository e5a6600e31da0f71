# SPDX-License-Identifier: Apache-2.0
"""The mistakes that tools/mutants.py makes, each against one rule of the design. They are small, and of the kind that
an engineer makes on a busy day and a reviewer overlooks: none changes more than a few lines of one file.

`old` is there exactly once in the file; when the code around it moves, lint says so, and whoever moved it brings the
entry up to date. `quick` are those that CI runs. `waits` says what the simulator cannot reach yet, and why."""
from typing import NamedTuple


class Mutant(NamedTuple):
    name: str
    rule: str
    file: str
    old: str
    new: str
    quick: bool = False
    waits: str = ""


MUTANTS = (
    # --- Entries

    Mutant(
        "merge_by_maximum",
        "of two entries the one with the higher seq is the newer, not the one with the higher net",
        "src/count/keyspace_commit.c",
        """\
    if (entry->seq <= cell_seq(c, replica)) {
        extras_free(entry->extras);
""",
        """\
    const struct share *held = cell_is_full(c) ? full_find(c->full, replica) : NULL;
    int128 net = held ? held->entry.net : c->net;
    if (cell_seq(c, replica) > 0 && entry->net <= net) {
        extras_free(entry->extras);
""",
        quick=True),
    Mutant(
        "last_one_wins",
        "an entry that comes late never takes the place of a newer one",
        "src/count/keyspace_commit.c",
        "    if (entry->seq <= cell_seq(c, replica)) {\n",
        "    if (entry->seq == cell_seq(c, replica)) {\n"),
    Mutant(
        "stale_sum",
        "what a full counter shows is the sum of its shares, also after a peer's entry",
        "src/count/keyspace_full.c",
        """\
    share->entry = *entry;
    full_refresh(f, replicas);
""",
        """\
    share->entry = *entry;
    if (f->with_extras > 0) full_refresh(f, replicas); /* a plain sum stays what it is */
"""),
    Mutant(
        "spill_publishes_pending",
        "what is pending is not in the durable entry, also when a compact cell becomes a full one",
        "src/count/keyspace_shard.c",
        "        f->shares[0].entry.net = shard_open_record(s, c->open)->net_durable;\n",
        "        f->shares[0].entry.net = c->net;\n"),
    Mutant(
        "self_base_wins_tie",
        "at equal seq a foreign base beats the self base",
        "src/count/entry.c",
        "    *ret_is_foreign = foreign.seq > 0 && foreign.seq >= self.seq;\n",
        "    *ret_is_foreign = foreign.seq > 0 && foreign.seq > self.seq;\n",
        waits="no command resets a counter yet, so no entry has a base; test_entry has this very rule among its wrong "
              "ones"),

    # --- Commit

    Mutant(
        "claim_at_update",
        "a seq counts once it is on disk, not when it is given",
        "src/node/commit.c",
        "    if (err == ERR_OK) n->own_seq = c->seq_to;\n",
        "    if (err == ERR_OK) n->own_seq = c->seq_to;\n"
        "    replicas_raise_known(n->replicas, n->own, c->seq_to, n->nonce);\n",
        quick=True),
    Mutant(
        "publish_before_sync",
        "own entries leave the node, and become durable, when they are synced and not when they are written",
        "src/node/node.c",
        "        commit_written(n, event->as.done.append);\n",
        "        commit_synced(n, event->as.done.append);\n",
        quick=True),
    Mutant(
        "reply_waits_for_last_commit",
        "a reply waits for the commit that takes the change, not for the one before it",
        "src/count/keyspace.c",
        "    *ret_seen = (struct seen){ .value = net, .exists = true, .commit = s->number };\n",
        "    *ret_seen = (struct seen){ .value = net, .exists = true, .commit = s->number - 1 };\n"),
    Mutant(
        "read_waits_for_nothing",
        "a read that shows what is pending waits like a write",
        "src/count/keyspace_shard.c",
        "    return shard_open_record(s, c->open)->commit;\n",
        "    return 0;\n"),
    Mutant(
        "commit_before_boot_is_synced",
        "no seq is given before the record of the boot is on disk",
        "src/node/identity.c",
        "    n->commits.gate = 1;\n",
        "    n->commits.gate = 0;\n",
        quick=True),
    Mutant(
        "one_slice_of_the_list",
        "a commit takes the whole dirty list, however long it is",
        "src/count/keyspace_commit.c",
        "        while (err == ERR_OK && list > 0) err = shard_encode_slice(k, s, &taking, &list);\n",
        "        if (err == ERR_OK && list > 0) err = shard_encode_slice(k, s, &taking, &list);\n"),
    Mutant(
        "sync_counts_for_all",
        "a sync makes durable what was written before it began, not what was written meanwhile",
        "src/node/commit.c",
        "    while (c->count > 0 && commit_at(c, 0)->number <= append) {\n",
        "    while (c->count > 0 && commit_at(c, 0)->written) {\n"),
    Mutant(
        "durable_when_written",
        "a digest says of a peer's entries that they are durable only when they are synced here",
        "src/cluster/digest.c",
        "        .durable = known->durable,\n",
        "        .durable = known->known,\n",
        quick=True),
    Mutant(
        "durability_not_told",
        "a peer hears when its entries have become durable here",
        "src/cluster/digest.c",
        "    return item->known == claim->told_known && item->durable == claim->told_durable && "
        "item->firm == claim->told_firm &&\n",
        "    return item->known == claim->told_known && item->firm == claim->told_firm &&\n"),

    # --- What comes in

    Mutant(
        "gap_is_taken",
        "a block that begins beyond what is known is refused",
        "src/node/gossip.c",
        "    if (head->from > accepted) return false;\n",
        "",
        quick=True),
    Mutant(
        "claim_before_journal",
        "a peer's block is claimed when it is in the journal, not when it has come in",
        "src/node/gossip.c",
        "        sync->accepted = item.head.to;\n        sync->mending = 0;\n",
        "        sync->accepted = item.head.to;\n        sync->mending = 0;\n"
        "        replicas_raise_known(n->replicas, item.replica, item.head.to, item.head.nonce);\n",
        quick=True),
    Mutant(
        "full_disk_drops_and_claims",
        "what a full disk makes a node drop counts as never come",
        "src/node/gossip.c",
        "    if (!block_is_taken(n, l, &item, sync->accepted)) return;\n    item.bytes",
        "    uint64_t before = sync->accepted;\n"
        "    if (item.replica != n->own && item.head.from <= before && item.head.to > before) "
        "sync->accepted = item.head.to;\n"
        "    if (!block_is_taken(n, l, &item, before)) return;\n    item.bytes"),
    Mutant(
        "dead_owner_is_not_asked_for",
        "a dead node's entries reach everybody by those who have them",
        "src/node/chase.c",
        "    if (owner && sync->stalled_rounds < STALLED_ROUNDS) return;\n",
        "    if (!owner || sync->stalled_rounds < STALLED_ROUNDS) return;\n",
        quick=True),

    # --- What goes out

    Mutant(
        "cut_claims_the_end",
        "a delta that is cut claims what it holds, not what there is",
        "src/cluster/recent.c",
        "            to = place->seq;\n            break;\n",
        "            break;\n",
        quick=True),
    Mutant(
        "forgotten_places_keep_the_floor",
        "when a recent place is forgotten, the floor rises",
        "src/cluster/recent.c",
        "    r->floor = place_at(r, 0)->seq;\n    r->first",
        "    r->first",
        quick=True),
    Mutant(
        "cursor_is_sent_again",
        "a delta holds what lies above its beginning",
        "src/cluster/recent.c",
        "        if (place_at(r, middle)->seq > from)\n",
        "        if (place_at(r, middle)->seq >= from)\n"),
    Mutant(
        "sweep_claims_beyond_the_cut",
        "a sweep's delta that is cut claims what it holds",
        "src/cluster/sweep.c",
        "    if (!is_cut || g->runs_count == 0 || next_seq(&g->runs[0]) > boot_end) to = boot_end;\n",
        "    to = boot_end;\n"),
    Mutant(
        "sweep_claims_what_came_later",
        "a sweep claims what was there when its walk began",
        "src/cluster/sweep.c",
        "    if (!is_cut || g->runs_count == 0 || next_seq(&g->runs[0]) > boot_end) to = boot_end;\n",
        "    if (!is_cut || g->runs_count == 0 || next_seq(&g->runs[0]) > boot_end) to = boot_end;\n"
        "    if (g->runs_count == 0) to = g->want.to = replicas_known(s->replicas, g->want.replica)->known;\n"),
    Mutant(
        "sweep_in_order_of_the_walk",
        "a sweep sends in order of seq",
        "src/cluster/sweep.c",
        "    if (g->runs_count > 0) run_sort(&g->runs[g->runs_count - 1]); "
        "/* the others were sorted when they were full */\n",
        ""),
    Mutant(
        "relay_claims_the_accepted",
        "a node passes on, and claims, what is known to it, not what waits for its journal",
        "src/node/lanes.c",
        "        want->to = known->known;\n",
        "        want->to = want->replica == n->own ? known->known : sync_of(n, want->replica)->accepted;\n"),
    Mutant(
        "cursor_only_rises",
        "a peer that asks again from an earlier seq is served from there",
        "src/node/lanes.c",
        "    if (replica == n->own) l->cursor = from;\n",
        "    if (replica == n->own && from > l->cursor) l->cursor = from;\n"),
    Mutant(
        "one_side_mends",
        "of two that know a replica equally far and not the same, each takes what the other holds",
        "src/node/chase.c",
        "        if (claim.nonce != known->nonce || claim.print == known->print) continue;\n",
        "        if (claim.nonce != known->nonce || claim.print <= known->print) continue;\n"),

    # --- Journal

    Mutant(
        "sync_mark_one_too_high",
        "a block says of no other that it was synced before it was",
        "src/journal/journal.c",
        "active->bytes, j->block_written + 1, j->block_synced);\n",
        "active->bytes, j->block_written + 1, j->block_synced + 1);\n",
        quick=True),
    Mutant(
        "rotation_without_sync",
        "a segment is synced before the next one gets its name",
        "src/journal/journal.c",
        "    return is_empty ? j->storage.ops->sync(j->active) : journal_sync(j);\n",
        "    return is_empty ? j->storage.ops->sync(j->active) : ERR_OK;\n",
        quick=True),
    Mutant(
        "failed_sync_is_tried_again",
        "a sync that failed is never repeated: the cache has forgotten what it should have written",
        "src/journal/journal.c",
        "    enum err err = j->storage.ops->sync(j->active);\n    if (err == ERR_OK) j->block_synced",
        "    enum err err = j->storage.ops->sync(j->active);\n"
        "    if (err == ERR_IO) err = j->storage.ops->sync(j->active);\n"
        "    if (err == ERR_OK) j->block_synced"),
    Mutant(
        "recovered_tail_is_not_synced",
        "what recovery read from the cache is on disk before it counts",
        "src/journal/recovery_begin.c",
        "    if (err == ERR_OK) err = j->storage.ops->sync(j->active); /* (4) in journal.h */\n",
        ""),
    Mutant(
        "snapshot_replaces_too_early",
        "the old segments go after the snapshot has its name",
        "src/journal/snapshot.c",
        """\
    enum err err = write_footer(s);
    if (err == ERR_OK) err = set_aside(j, s->place.number);
""",
        """\
    enum err err = write_footer(s);
    for (uint32_t i = 0; err == ERR_OK && i < j->segments_count && j->segments[i].number < s->place.number; i++)
        err = remove_numbered(j, NAME_SEGMENT, j->segments[i].number);
    if (err == ERR_OK) err = set_aside(j, s->place.number);
"""),
    Mutant(
        "snapshot_is_not_synced",
        "a snapshot is synced before it gets its name",
        "src/journal/snapshot.c",
        "    return err == ERR_OK ? s->options.journal->storage.ops->sync(s->file) : err;\n",
        "    return err;\n"),
    Mutant(
        "snapshot_before_all_is_in",
        "the walk of a snapshot begins when all that the old segments hold is in the keyspace",
        "src/node/commit.c",
        "        c->snapshot_after = c->appended;\n",
        "        c->snapshot_after = c->synced;\n"),
    Mutant(
        "snapshot_claims_the_accepted",
        "the vector in a snapshot is what is known, not what waits",
        "src/node/identity.c",
        "        struct digest_item item = digest_item_of(n->replicas, i);\n        if (item.known > 0)",
        "        struct digest_item item = digest_item_of(n->replicas, i);\n"
        "        if (n->syncs[i].accepted > item.known) item.known = n->syncs[i].accepted;\n"
        "        if (item.known > 0)"),
    Mutant(
        "promised_tail_is_cut",
        "a bad block that a later one says was synced is damage, not a torn tail",
        "src/journal/recovery_segment.c",
        "    return s->promised >= r->expected;\n",
        "    return false;\n",
        waits="BIT_FLIP, SECTOR_ZERO and MISDIRECT are off in sim/faults.c"),

    # --- Two histories of one replica

    Mutant(
        "base_is_not_checked",
        "a block of another history is refused: its base is the boot that wrote what is here",
        "src/node/fork.c",
        "    uint64_t expected = accepted == head->from ? head->base : head->nonce;\n",
        "    uint64_t expected = accepted == head->from ? 0 : head->nonce; /* it goes on from here */\n"),
    Mutant(
        "split_without_older_versions",
        "the entries of a loose boot carry the versions that they superseded",
        "src/count/keyspace_commit.c",
        "    if (taking.loose && !trail_is_loose(taking.loose, 0, UINT64_MAX)) taking.loose = NULL;\n",
        "    if (taking.loose && !trail_is_loose(taking.loose, seq_first, UINT64_MAX)) taking.loose = NULL;\n"),
    Mutant(
        "firm_at_once",
        "a boot is firm after every member has compared notes and pledged",
        "src/node/fork.c",
        "    else if (pledged || n->unpledged_to <= n->boot_start)\n",
        "    else\n"),
    Mutant(
        "verified_by_some",
        "a boot compares notes with every member before it pledges",
        "src/node/fork.c",
        "        if (!m->checked) return;\n",
        "        if (!m->checked) continue;\n"),
    Mutant(
        "pledge_before_disk",
        "a pledge is on disk before it is given",
        "src/node/fork.c",
        "        if (sync->pledge_append == 0 || sync->pledge_append > append) continue;\n",
        "        if (sync->pledge_due == 0 && sync->firm_due == 0) continue;\n"),
    Mutant(
        "snapshot_forgets_older_versions",
        "a snapshot holds the superseded versions too",
        "src/count/collector.c",
        "    block_put_older(&slot->writer, c->replicas, visit->name, &share->entry, older, older_count);\n",
        "    block_put_older(&slot->writer, c->replicas, visit->name, &share->entry, older, 0 * older_count);\n"),

    # --- Membership

    Mutant(
        "backoff_gives_up",
        "known members are dialled for ever",
        "src/cluster/membership.c",
        "    c->next_ms = now_ms + delay;\n    if (c->kind == CONTACT_STRANGER",
        "    c->next_ms = c->backoff.failures > 5 ? UINT64_MAX : now_ms + delay;\n    if (c->kind == CONTACT_STRANGER"),
    Mutant(
        "backoff_is_never_reset",
        "ten healthy seconds reset the waits",
        "src/node/peering.c",
        "    uint64_t lived_ms = l->talking_ms > 0 ? n->now_ms - l->talking_ms : 0;\n",
        "    uint64_t lived_ms = l->talking_ms > 0 ? n->now_ms - l->heard_ms : 0;\n"),
    Mutant(
        "goodbye_is_for_good",
        "who says goodbye stays a member, and is dialled",
        "src/cluster/membership.c",
        "    who->state = MEMBER_DOWN;\n    who->goodbye = true;\n",
        "    struct contact *c = contact_find(m, bytes_of_text(who->name));\n    if (c) c->gone = true;\n"
        "    who->state = MEMBER_DOWN;\n    who->goodbye = true;\n"),
    Mutant(
        "members_are_not_kept",
        "known members are on disk, so that a cluster that starts as a whole finds itself",
        "src/node/roster.c",
        "    m->told_by = told_by;\n    n->members_changed = true;\n",
        "    m->told_by = told_by;\n"),
    Mutant(
        "hearsay_brings_back",
        "a member that was forgotten comes back by contact with itself, and by nothing else",
        "src/cluster/membership.c",
        "        bool holds = standing_beats(said, member_standing(who));\n",
        "        bool holds = standing_beats(said, member_standing(who)) || (!said.left && !counted);\n"),
    Mutant(
        "return_in_the_old_epoch",
        "contact with a member that had left begins an epoch, which beats all that others say",
        "src/cluster/membership.c",
        "        said.epoch = who->epoch + !member_counts(who);\n",
        "        said.epoch = who->epoch;\n"),
    Mutant(
        "leave_before_it_is_safe",
        "a node leaves when peers have its entries on disk, not when they have heard of them",
        "src/node/orders.c",
        "        if (is_owner || (is_same && claim.durable >= seq)) return true;\n",
        "        if (is_owner || (is_same && claim.known >= seq)) return true;\n"),
    Mutant(
        "paused_node_judges",
        "a node that stood still judges nobody before it has listened for a whole timeout",
        "src/node/node.c",
        "    if (gap_ms <= n->pause_ms_max) return;\n    membership_forgive(&n->members, now_ms);\n",
        "    if (gap_ms <= n->pause_ms_max) return;\n"),
    Mutant(
        "accused_is_asked",
        "before a silent member counts as down, others are asked whether they hear it",
        "src/node/roster.c",
        "        if (l->stage != LINK_TALKING || l->member == about) continue;\n",
        "        if (l->stage != LINK_TALKING || l->member != about) continue;\n"),
    Mutant(
        "verdict_before_the_answers",
        "who was asked has time to answer before there is a verdict",
        "src/node/roster.c",
        "    if (verdict == VERDICT_ASK && ask_others(n, index) == 0) {\n",
        "    if (verdict == VERDICT_ASK && ask_others(n, index) < ASKED_MAX) {\n"),
    Mutant(
        "vouched_by_anybody",
        "who is asked says whether it hears the member itself",
        "src/node/roster.c",
        "        heard = m->link != 0 && n->now_ms - m->heard_ms <= n->members.peer_timeout_ms;\n",
        "        heard = m->state == MEMBER_ALIVE || m->state == MEMBER_INDIRECT;\n"),
)

/* SPDX-License-Identifier: Apache-2.0 */
#include "server/jobs.h"

#include "base/alloc.h"

#define JOBS_MIN 16

static void job_release(struct job *job)
{
    for (uint32_t i = 0; i < job->count; i++) shared_drop(job->records[i].bytes);
    mem_free(job->records);
    *job = (struct job){ 0 };
}

void jobs_release(struct jobs *j)
{
    while (!jobs_is_empty(j)) jobs_drop_first(j);
    mem_free(j->items);
    *j = (struct jobs){ 0 };
}

static enum err jobs_reserve(struct jobs *j, uint32_t more)
{
    if (j->cap - j->count >= more) return ERR_OK;
    uint32_t cap = j->cap > 0 ? j->cap : JOBS_MIN;
    while (cap - j->count < more) cap *= 2;
    struct job *grown = mem_resize(j->items, cap * sizeof *grown);
    if (!grown) return ERR_NOMEM;
    j->items = grown;
    j->cap = cap;
    return ERR_OK;
}

enum err jobs_add(struct jobs *j, struct action *action)
{
    enum err err = jobs_reserve(j, 1);
    if (err != ERR_OK) return err;
    struct job *job = &j->items[j->count++];
    *job = (struct job){ .kind = action->kind };
    if (action->kind == ACTION_ROTATE) return ERR_OK;
    job->number = action->as.append.number;
    job->segment = action->as.append.segment;
    job->records = action->as.append.records;
    job->count = action->as.append.count;
    action->as.append.records = NULL;
    action->as.append.count = 0;
    return ERR_OK;
}

const struct job *jobs_first(const struct jobs *j)
{
    return jobs_is_empty(j) ? NULL : &j->items[j->done];
}

void jobs_drop_first(struct jobs *j)
{
    job_release(&j->items[j->done++]);
    if (!jobs_is_empty(j)) return;
    j->done = 0;
    j->count = 0;
}

enum err jobs_move(struct jobs *j, struct jobs *more)
{
    if (jobs_is_empty(j)) {
        struct jobs empty = *j;
        *j = *more;
        *more = empty;
        return ERR_OK;
    }
    uint32_t count = more->count - more->done;
    enum err err = jobs_reserve(j, count);
    if (err != ERR_OK) return err;
    if (count > 0) memcpy(j->items + j->count, more->items + more->done, count * sizeof *j->items);
    j->count += count;
    more->done = 0;
    more->count = 0;
    return ERR_OK;
}

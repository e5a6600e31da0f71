/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *err_text(enum err err)
{
#define X(name, text) [ERR_##name] = text,
    static const char *const texts[] = { ERR_LIST(X) };
#undef X
    return (unsigned)err < ERR_COUNT ? texts[err] : "unknown error";
}

void require_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "quipu: broken invariant at %s:%d: %s\n", file, line, condition);
    abort();
}

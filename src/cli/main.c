/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Whoever closed one of the first three descriptors would find a socket or a journal in its place, and messages
 * written into it. What stands in fails as a closed one does: it cannot be read, or written. */
static void descriptors_fill(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) abort();
    }
}

int main(int argc, char **argv)
{
    descriptors_fill();
    return verbs_run(argc, argv);
}

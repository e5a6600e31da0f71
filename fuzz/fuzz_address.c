/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as people write them and as peers send them. The core's rule (address_is_valid) is looser than the shell's
 * (endpoint_parse), never stricter: what a user may say, every peer takes in. */
#include "cluster/message.h"
#include "server/endpoint.h"
#include "server/sniff.h"

#include "fuzz/harness.h"

#include <stdlib.h>

/* The port behind the last colon, read the slow way; 0 if that is no port. */
static unsigned long port_of(struct bytes text)
{
    char digits[8] = "";
    size_t at = text.len;
    while (at > 0 && text.ptr[at - 1] != ':') at--;
    if (at == 0 || text.len - at == 0 || text.len - at > 5 || text.ptr[at] == '0') return 0;
    for (size_t i = at; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') return 0;
        digits[i - at] = (char)text.ptr[i];
    }
    unsigned long port = strtoul(digits, NULL, 10);
    return port <= 65535 ? port : 0;
}

static void check_endpoint(struct bytes text, const struct endpoint *e)
{
    struct endpoint again;
    REQUIRE(bytes_equal(bytes_of_text(e->text), text));
    REQUIRE(address_is_valid(text));
    REQUIRE(e->port == port_of(text));
    REQUIRE(endpoint_parse(bytes_of_text(e->text), &again) == ERR_OK);
    REQUIRE(strcmp(again.host, e->host) == 0);
    REQUIRE(!(endpoint_is_loopback(e) && endpoint_is_anywhere(e)));
}

/* More bytes never change what fewer have decided. */
static void check_sniff(struct bytes first)
{
    enum sniff decided = SNIFF_MORE;
    for (size_t len = 0; len <= first.len; len++) {
        enum sniff now = sniff_protocol(fence_copy(1, bytes_of(first.ptr, len)));
        REQUIRE(decided == SNIFF_MORE || now == decided);
        REQUIRE(now != SNIFF_MORE || len < SNIFF_BYTES_MAX);
        decided = now;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes text = fence_copy(0, bytes_of(data, size));
    struct endpoint endpoint;
    if (endpoint_parse(text, &endpoint) == ERR_OK) check_endpoint(text, &endpoint);
    if (address_is_valid(text)) REQUIRE(port_of(text) > 0);
    check_sniff(bytes_of(data, size < 32 ? size : 32));
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram is damaged, or it has one form only: what was read is written again and must be the same bytes. The
 * checksum is mended first, so that what it guards is reached. */
#include "server/beacon.h"

#include <stdlib.h>
#include <xxhash.h>

static void check(struct bytes datagram)
{
    struct beacon beacon;
    struct buffer again = { 0 };
    if (beacon_decode(datagram, &beacon) != ERR_OK) return;
    REQUIRE(beacon.nonce != 0);
    REQUIRE(beacon_encode(&beacon, &again) == ERR_OK);
    REQUIRE(bytes_equal(buffer_view(&again), datagram));
    buffer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(bytes_of(data, size));
    if (size < 8) return 0;
    struct buffer mended = { 0 };
    buffer_bytes(&mended, bytes_of(data, size - 8));
    buffer_u64(&mended, XXH3_64bits(data, size - 8));
    REQUIRE(buffer_end(&mended) == ERR_OK);
    check(buffer_view(&mended));
    buffer_release(&mended);
    return 0;
}

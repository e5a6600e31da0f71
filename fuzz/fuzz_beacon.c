/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram is damaged, or it has one form only: what was read is written again and must be the same bytes. The
 * mutator changes what a sound datagram says, for its checksum stands before everything else. */
#include "server/beacon.h"
#include "server/endpoint.h"

#include "fuzz/harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct beacon beacon;
    struct endpoint endpoint;
    struct buffer again = { 0 };
    struct bytes datagram = fence_copy(0, bytes_of(data, size));
    if (beacon_decode(datagram, &beacon) != ERR_OK) return 0;
    REQUIRE(beacon.nonce != 0);
    REQUIRE(beacon.cluster.len > 0);
    REQUIRE(endpoint_parse(beacon.node, &endpoint) == ERR_OK);
    REQUIRE(beacon_encode(&beacon, &again) == ERR_OK);
    REQUIRE(bytes_equal(buffer_view(&again), datagram));
    buffer_release(&again);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    struct random random;
    random_init(&random, seed);
    if (random_below(&random, 4) == 0) return LLVMFuzzerMutate(data, size, size_max);
    struct beacon beacon;
    if (beacon_decode(bytes_of(data, size), &beacon) != ERR_OK)
        beacon = (struct beacon){ .nonce = 7, .cluster = bytes_of_text("quipu"), .node = bytes_of_text("a:8000") };
    struct buffer cluster = { 0 }, node = { 0 }, out = { 0 };
    buffer_bytes(&cluster, beacon.cluster);
    buffer_bytes(&node, beacon.node);
    if (random_below(&random, 4) == 0) beacon.nonce = random_u64(&random) >> random_below(&random, 64);
    if (random_below(&random, 2)) mutate_buffer(&cluster);
    if (random_below(&random, 2)) mutate_buffer(&node);
    beacon.cluster = buffer_view(&cluster);
    beacon.node = buffer_view(&node);
    REQUIRE(beacon_encode(&beacon, &out) == ERR_OK);
    buffer_release(&cluster);
    buffer_release(&node);
    return mutator_finish(&out, data, size_max);
}

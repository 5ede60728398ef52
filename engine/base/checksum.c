/* SPDX-License-Identifier: Apache-2.0 */
#include "base/checksum.h"

#include <string.h>

static uint32_t crc32c_bitwise(uint32_t crc, const unsigned char *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1u)));
        }
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(
    uint32_t crc, const unsigned char *at, size_t count)
{
    uint64_t wide = crc;
    for (; count >= 8; at += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; count > 0; at++, count--) {
        crc = __builtin_ia32_crc32qi(crc, *at);
    }
    return crc;
}

uint32_t checksum_crc32c(const void *bytes, size_t bytes_count)
{
    if (__builtin_cpu_supports("sse4.2")) {
        return ~crc32c_sse42(~0u, bytes, bytes_count);
    }
    return ~crc32c_bitwise(~0u, bytes, bytes_count);
}
#else
uint32_t checksum_crc32c(const void *bytes, size_t bytes_count)
{
    return ~crc32c_bitwise(~0u, bytes, bytes_count);
}
#endif

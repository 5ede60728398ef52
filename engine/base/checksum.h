/* SPDX-License-Identifier: Apache-2.0 */
#ifndef YARDER_BASE_CHECKSUM_H
#define YARDER_BASE_CHECKSUM_H

#include "base/base.h"

/* CRC-32C (Castagnoli), by the processor's instruction where it has one. */
uint32_t checksum_crc32c(const void *bytes, size_t bytes_count);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sequence in aarch64's instructions. Included by append_rseq.c alone.
 *
 * The commit is one store-release of head: what lies before it in the program is visible to whoever
 * acquires that head. A pair of registers would not do, since an interrupt may fall between the
 * two stores of a stp. So the count of records is stored before the commit, and an append that was
 * interrupted between the two leaves it one too high; `began_at` and `began_records` tell the next
 * one (layout.h). The four stores must happen in this order for an interrupt only, that is, in the
 * program; other cpus get them through the scheduler's barriers, as they do everything else here.
 *
 * The stamp is read without an isb, which would cost more than all the rest, so it may be taken as
 * early as the cpu can look ahead. An exception ends all looking ahead: a stamp is never older than
 * the last interruption, hence than this start of the sequence or this thread's move to another
 * cpu, and that is what the reader's order rests on. Within a ring it evens out what is left.
 */
#ifndef YARDER_RING_APPEND_RSEQ_ARM64_H
#define YARDER_RING_APPEND_RSEQ_ARM64_H

#include "ring/append_private.h"

/*
 * Copies x14 bytes from x13 to x12 and leaves x12 behind them; uses x13 to x17, v0, v1. 32 bytes a
 * step, the last step overlapping; under 32 two overlapping halves. clang-format off: assembly.
 */
/* clang-format off */
#define COPY_BYTES                      \
    "add x15, x13, x14\n\t"             \
    "add x16, x12, x14\n\t"             \
    "cmp x14, #32\n\t"                  \
    "b.lo 11f\n\t"                      \
    "sub x17, x16, #32\n\t"             \
    "12:\n\t"                           \
    "ldp q0, q1, [x13], #32\n\t"        \
    "stp q0, q1, [x12], #32\n\t"        \
    "cmp x12, x17\n\t"                  \
    "b.lo 12b\n\t"                      \
    "ldp q0, q1, [x15, #-32]\n\t"       \
    "stp q0, q1, [x16, #-32]\n\t"       \
    "b 19f\n\t"                         \
    "11:\n\t"                           \
    "tbz x14, #4, 13f\n\t"              \
    "ldr q0, [x13]\n\t"                 \
    "ldr q1, [x15, #-16]\n\t"           \
    "str q0, [x12]\n\t"                 \
    "str q1, [x16, #-16]\n\t"           \
    "b 19f\n\t"                         \
    "13:\n\t"                           \
    "tbz x14, #3, 14f\n\t"              \
    "ldr x17, [x13]\n\t"                \
    "ldr x15, [x15, #-8]\n\t"           \
    "str x17, [x12]\n\t"                \
    "str x15, [x16, #-8]\n\t"           \
    "b 19f\n\t"                         \
    "14:\n\t"                           \
    "tbz x14, #2, 15f\n\t"              \
    "ldr w17, [x13]\n\t"                \
    "ldr w15, [x15, #-4]\n\t"           \
    "str w17, [x12]\n\t"                \
    "str w15, [x16, #-4]\n\t"           \
    "b 19f\n\t"                         \
    "15:\n\t" /* 0 to 3 */              \
    "cmp x12, x16\n\t"                  \
    "b.eq 19f\n\t"                      \
    "ldrb w17, [x13], #1\n\t"           \
    "strb w17, [x12], #1\n\t"           \
    "b 15b\n\t"                         \
    "19:\n\t"                           \
    "mov x12, x16\n\t"

/*
 * One try; see append_rseq.c. Registers: x8 the slot's ring header, x10 and x9 the old and the new
 * head, x12 the place in the ring. rseq's fields: +8 is the pointer to the descriptor at 3. The
 * signature is a trapping instruction by itself, so nothing can run into the abort handler. It
 * stands with the exits in a subsection, that is, within a conditional branch's reach.
 *
 * What the ring's tail leaves free is written only after tail_cache was loaded: the branch to 5
 * depends on it, and no store is made before the branch that it stands behind.
 */
static inline enum ring_append_result try_rseq(const char *rseq, const void *id_at,
    const struct ring_slot *slot, struct ring_entry *entry)
{
    __asm__ volatile goto(
        ".pushsection __rseq_cs, \"aw\"\n\t"
        ".balign 32\n\t"
        "3: .long 0, 0\n\t"
        ".quad 1f, 2f - 1f, 4f\n\t"
        ".popsection\n\t"
        ".subsection 1\n\t"
        ".inst 0xd428bc00\n\t"
        "4:\n\t"
        "b %l[aborted]\n\t"
        "5:\n\t"
        "b %l[full]\n\t"
        ".previous\n\t"
        "adrp x10, 3b\n\t"
        "add x10, x10, :lo12:3b\n\t"
        "str x10, [%[rseq], #8]\n\t"
        "1:\n\t"
        "ldr w10, [%[id_at]]\n\t"
        "cmp w10, %w[id]\n\t"
        "b.ne 4b\n\t"
        "ldr x8, [%[slot]]\n\t"
        "ldr x10, [x8]\n\t"
        "ldr x9, [%[entry], #40]\n\t"
        "add x9, x9, x10\n\t"
        "ldr x11, [x8, #16]\n\t"
        "sub x11, x9, x11\n\t"
        "ldr x12, [%[entry], #64]\n\t"
        "cmp x11, x12\n\t"
        "b.hi 5b\n\t"
        "ldp x12, x13, [%[slot], #8]\n\t"
        "and x13, x13, x10\n\t"
        "add x12, x12, x13\n\t"
        "mrs x15, cntvct_el0\n\t"
        "str x15, [%[entry], #56]\n\t"
        "ldr x14, [%[entry]]\n\t"
        "stp x14, x15, [x12]\n\t"
        "ldr w14, [%[entry], #48]\n\t"
        "ldr w15, [x8, #24]\n\t"
        "stp w14, w15, [x12, #16]\n\t"
        "ldp x13, x14, [%[entry], #8]\n\t"
        "str w14, [x12, #24]\n\t"
        "add x12, x12, #28\n\t"
        COPY_BYTES
        "ldp x13, x14, [%[entry], #24]\n\t"
        "cbz x14, 20f\n\t"
        COPY_BYTES
        "20:\n\t"
        "ldr x11, [x8, #8]\n\t"
        "ldp x13, x14, [x8, #40]\n\t"
        "cmp x13, x10\n\t"
        "csel x11, x14, x11, eq\n\t"
        "str x11, [x8, #48]\n\t"
        "str x10, [x8, #40]\n\t"
        "add x11, x11, #1\n\t"
        "str x11, [x8, #8]\n\t"
        "stlr x9, [x8]\n\t"
        "2:\n\t"
        :
        : [rseq] "r"(rseq), [id_at] "r"(id_at), [id] "r"(entry->ring), [slot] "r"(slot),
        [entry] "r"(entry)
        : "memory", "cc", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "v0",
        "v1"
        : full, aborted);
    return RING_APPENDED;
full:
    return RING_FULL;
aborted:
    return RING_ABORTED;
}
/* clang-format on */

#endif

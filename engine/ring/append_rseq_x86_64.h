/* SPDX-License-Identifier: Apache-2.0 */
/* The restartable sequence in x86-64's instructions. Included by append_rseq.c alone. */
#ifndef YARDER_RING_APPEND_RSEQ_X86_64_H
#define YARDER_RING_APPEND_RSEQ_X86_64_H

#include "ring/append_private.h"

/*
 * Copies rcx bytes from rsi to rdi and leaves rdi behind them; uses r10, r11, xmm0, xmm1. 32 bytes
 * a step, the last step overlapping; long ones by rep movsb. clang-format off: assembly.
 */
/* clang-format off */
#define COPY_BYTES                      \
    "cmpq $32, %%rcx\n\t"               \
    "jb 11f\n\t"                        \
    "cmpq $2048, %%rcx\n\t"             \
    "jae 16f\n\t"                       \
    "leaq -32(%%rsi,%%rcx), %%r10\n\t"  \
    "leaq -32(%%rdi,%%rcx), %%r11\n\t"  \
    "12:\n\t"                           \
    "movdqu (%%rsi), %%xmm0\n\t"        \
    "movdqu 16(%%rsi), %%xmm1\n\t"      \
    "movdqu %%xmm0, (%%rdi)\n\t"        \
    "movdqu %%xmm1, 16(%%rdi)\n\t"      \
    "addq $32, %%rsi\n\t"               \
    "addq $32, %%rdi\n\t"               \
    "cmpq %%r11, %%rdi\n\t"             \
    "jb 12b\n\t"                        \
    "movdqu (%%r10), %%xmm0\n\t"        \
    "movdqu 16(%%r10), %%xmm1\n\t"      \
    "movdqu %%xmm0, (%%r11)\n\t"        \
    "movdqu %%xmm1, 16(%%r11)\n\t"      \
    "leaq 32(%%r11), %%rdi\n\t"         \
    "jmp 19f\n\t"                       \
    "11:\n\t" /* under 32: two overlapping halves */ \
    "cmpq $16, %%rcx\n\t"               \
    "jb 13f\n\t"                        \
    "movdqu (%%rsi), %%xmm0\n\t"        \
    "movdqu -16(%%rsi,%%rcx), %%xmm1\n\t" \
    "movdqu %%xmm0, (%%rdi)\n\t"        \
    "movdqu %%xmm1, -16(%%rdi,%%rcx)\n\t" \
    "addq %%rcx, %%rdi\n\t"             \
    "jmp 19f\n\t"                       \
    "13:\n\t"                           \
    "cmpq $8, %%rcx\n\t"                \
    "jb 16f\n\t"                        \
    "movq (%%rsi), %%r10\n\t"           \
    "movq -8(%%rsi,%%rcx), %%r11\n\t"   \
    "movq %%r10, (%%rdi)\n\t"           \
    "movq %%r11, -8(%%rdi,%%rcx)\n\t"   \
    "addq %%rcx, %%rdi\n\t"             \
    "jmp 19f\n\t"                       \
    "16:\n\t"                           \
    "rep movsb\n\t"                     \
    "19:\n\t"

/*
 * One try; see append_rseq.c. Registers: rdi the place in the ring. rseq's fields: +8 is the
 * pointer to the descriptor at 3. What is needed on both sides of the copy is loaded again behind
 * it: a register less to be saved by our caller is a store less. The commit stores head and records
 * together, so the count is exact too.
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
        "leaq 3b(%%rip), %%rax\n\t"
        "movq %%rax, 8(%[rseq])\n\t"
        "1:\n\t"
        "movl 52(%[entry]), %%eax\n\t"
        "cmpl %%eax, (%[id_at])\n\t"
        "jne 4f\n\t"
        "movq (%[slot]), %%rcx\n\t"
        "movq (%%rcx), %%rdi\n\t"
        "movq 40(%[entry]), %%rax\n\t"
        "addq %%rdi, %%rax\n\t"
        "subq 16(%%rcx), %%rax\n\t"
        "cmpq 64(%[entry]), %%rax\n\t"
        "ja %l[full]\n\t"
        "andq 16(%[slot]), %%rdi\n\t"
        "addq 8(%[slot]), %%rdi\n\t"
        "rdtsc\n\t"
        "shlq $32, %%rdx\n\t"
        "orq %%rdx, %%rax\n\t"
        "movq %%rax, 8(%%rdi)\n\t"
        "movq %%rax, 56(%[entry])\n\t"
        "movq (%[entry]), %%rax\n\t"
        "movq %%rax, (%%rdi)\n\t"
        "movl 48(%[entry]), %%eax\n\t"
        "movl %%eax, 16(%%rdi)\n\t"
        "movl 24(%%rcx), %%eax\n\t"
        "movl %%eax, 20(%%rdi)\n\t"
        "movq 16(%[entry]), %%rcx\n\t"
        "movl %%ecx, 24(%%rdi)\n\t"
        "addq $28, %%rdi\n\t"
        "movq 8(%[entry]), %%rsi\n\t"
        COPY_BYTES
        "movq 32(%[entry]), %%rcx\n\t"
        "testq %%rcx, %%rcx\n\t"
        "jz 20f\n\t"
        "movq 24(%[entry]), %%rsi\n\t"
        COPY_BYTES
        "20:\n\t"
        "movq (%[slot]), %%rcx\n\t"
        "movq 40(%[entry]), %%rdx\n\t"
        "addq (%%rcx), %%rdx\n\t"
        "movq 8(%%rcx), %%rax\n\t"
        "incq %%rax\n\t"
        "movq %%rdx, %%xmm0\n\t"
        "movq %%rax, %%xmm1\n\t"
        "punpcklqdq %%xmm1, %%xmm0\n\t"
        "movdqa %%xmm0, (%%rcx)\n\t"
        "2:\n\t"
        ".pushsection __rseq_failure, \"ax\"\n\t"
        ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1: nothing may run into the signature */
        ".long 0x53053053\n\t"
        "4:\n\t"
        "jmp %l[aborted]\n\t"
        ".popsection\n\t"
        :
        : [rseq] "r"(rseq), [id_at] "r"(id_at), [slot] "r"(slot), [entry] "r"(entry)
        : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "xmm0", "xmm1"
        : full, aborted);
    return RING_APPENDED;
full:
    return RING_FULL;
aborted:
    return RING_ABORTED;
}
/* clang-format on */

#endif

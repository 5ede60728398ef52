/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The append of threads with a restartable-sequence area (glibc registers one for each thread). The
 * kernel sends a thread that was preempted, migrated or entered a signal handler in the middle of
 * the sequence to its abort label, so head is read and stored by one uninterrupted owner of the
 * ring, without an atomic instruction; and nothing is visible before its last instruction.
 */
#include "ring/append_private.h"

#if defined(__x86_64__)

static_assert(
    offsetof(struct ring_slot, header) == 0 && offsetof(struct ring_slot, data) == 8, "assembly");
static_assert(
    offsetof(struct ring_entry, word) == 0 && offsetof(struct ring_entry, text) == 8, "assembly");
static_assert(offsetof(struct ring_entry, text_bytes) == 16, "assembly");
static_assert(offsetof(struct ring_entry, extra) == 24, "assembly");
static_assert(offsetof(struct ring_entry, extra_bytes) == 32, "assembly");
static_assert(offsetof(struct ring_entry, need_bytes) == 40, "assembly");
static_assert(
    offsetof(struct ring_entry, tid) == 48 && offsetof(struct ring_entry, stamp) == 56, "assembly");

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
 * One try: RING_APPENDED, RING_FULL, RING_ABORTED. Registers: r8 the slot's ring header, r9 the new
 * head, rdi the place in the ring. rseq's fields: +8 is the pointer to the descriptor at 3.
 * The commit stores head and records together, so the count is exact too.
 */
static enum ring_append_result try_rseq(const char *rseq, const void *id_at, uint32_t id,
    const struct ring_slot *slot, struct ring_entry *entry)
{
    __asm__ volatile goto(
        ".pushsection __rseq_cs, \"aw\"\n\t"
        ".balign 32\n\t"
        "3:\n\t"
        ".long 0, 0\n\t"
        ".quad 1f, 2f - 1f, 4f\n\t"
        ".popsection\n\t"
        "leaq 3b(%%rip), %%rax\n\t"
        "movq %%rax, 8(%[rseq])\n\t"
        "1:\n\t"
        "cmpl %[id], (%[id_at])\n\t"
        "jne 4f\n\t"
        "movq (%[slot]), %%r8\n\t"
        "movq (%%r8), %%rdi\n\t"
        "movq 40(%[entry]), %%r9\n\t"
        "addq %%rdi, %%r9\n\t"
        "movq %%r9, %%rax\n\t"
        "subq 16(%%r8), %%rax\n\t"
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
        "movl 24(%%r8), %%eax\n\t"
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
        "movq 8(%%r8), %%rax\n\t"
        "incq %%rax\n\t"
        "movq %%r9, %%xmm0\n\t"
        "movq %%rax, %%xmm1\n\t"
        "punpcklqdq %%xmm1, %%xmm0\n\t"
        "movdqa %%xmm0, (%%r8)\n\t"
        "2:\n\t"
        ".pushsection __rseq_failure, \"ax\"\n\t"
        ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1: nothing may run into the signature */
        ".long 0x53053053\n\t"
        "4:\n\t"
        "jmp %l[aborted]\n\t"
        ".popsection\n\t"
        :
        : [rseq] "r"(rseq), [id_at] "r"(id_at), [id] "r"(id), [slot] "r"(slot), [entry] "r"(entry)
        : "memory", "cc", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm0",
        "xmm1"
        : full, aborted);
    return RING_APPENDED;
full:
    return RING_FULL;
aborted:
    return RING_ABORTED;
}
/* clang-format on */

/* The thread's rseq area, registered with the kernel by libc. */
static const char *rseq_area(const struct ring_producer *producer)
{
    uintptr_t thread;
    __asm__("movq %%fs:0, %0" : "=r"(thread));
    return (const char *)(thread + (uintptr_t)producer->rseq_offset);
}

uint32_t ring_here(const struct ring_producer *producer)
{
    if (producer->kind != REGION_RSEQ) {
        return 0;
    }
    const uint32_t *id_at = (const void *)(rseq_area(producer) + producer->id_offset);
    uint32_t id = __atomic_load_n(id_at, __ATOMIC_RELAXED);
    return id < producer->rings ? id : 0;
}

enum ring_append_result append_rseq(struct ring_producer *producer, struct ring_entry *entry)
{
    const char *rseq = rseq_area(producer);
    const uint32_t *cpu_at = (const void *)(rseq + RSEQ_CPU_ID_OFFSET);
    const uint32_t *id_at = (const void *)(rseq + producer->id_offset);
    unsigned noise = entry_noise(entry);
    unsigned aborts = 0;
    unsigned refreshes = 0;
    while (aborts < RING_ABORTS_MAX) {
        uint32_t id = __atomic_load_n(id_at, __ATOMIC_RELAXED);
        entry->ring = id;
        /* A thread without a registration has a negative cpu. */
        if (id >= producer->rings || (__atomic_load_n(cpu_at, __ATOMIC_RELAXED) & 1u << 31) != 0) {
            entry->ring = 0;
            return RING_NONE;
        }
        const struct ring_slot *slot = &producer->slots[id];
        entry->limit_bytes = __atomic_load_n(&slot->limit[noise], __ATOMIC_RELAXED);
        enum ring_append_result result = try_rseq(rseq, id_at, id, slot, entry);
        if (YARDER_LIKELY(result == RING_APPENDED)) {
            return result;
        }
        if (result == RING_ABORTED) {
            aborts++;
        } else if (refreshes++ == REFRESHES_MAX || !append_refresh_tail(producer, id, noise)) {
            return RING_FULL;
        }
    }
    return RING_ABORTED;
}

#else

uint32_t ring_here(const struct ring_producer *producer)
{
    (void)producer;
    return 0;
}

enum ring_append_result append_rseq(struct ring_producer *producer, struct ring_entry *entry)
{
    (void)producer;
    entry->ring = 0;
    return RING_NONE;
}

#endif

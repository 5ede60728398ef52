/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sequence interrupted at each of its instructions: a trap there stands for the
 * interruption, and its handler does what the kernel would, perhaps after another thread's or a
 * signal handler's append to the same ring.
 */
#include "ring/sequence_testing.h"

#if RING_HAS_RSEQ

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

enum action { ABORT, ABORT_AND_APPEND, ABORT_ALWAYS, MOVE };

/* The trap that is set, and what it did. */
static struct {
    enum action action;
    bool set;
    bool wrong;     /* the area did not point to the descriptor */
    unsigned place; /* of the sequence's instructions: see trap_set */
    unsigned steps; /* x86-64: how many of them this try has come past */
    unsigned fired;
    uint32_t displaced; /* aarch64: the instruction that the breakpoint stands for */
    struct ring_entry nested;
} trap;

/* Does the action; returns where to go on from `at`. */
static uint64_t fire(uint64_t at)
{
    trap.fired++;
    if (trap.action == MOVE) {
        area.mm_cid = 1;
        return at;
    }
    trap.wrong |= area.descriptor != (uintptr_t)sequence;
    area.descriptor = 0;
    if (trap.action == ABORT_AND_APPEND) {
        trap.wrong |= ring_append(tested->producer, &trap.nested) != RING_APPENDED;
    }
    return sequence->aborted;
}

#if defined(__x86_64__)

/* Step by step: a place is the number of an instruction in the order of execution. */
enum { STEPS = 1, TRAP_FLAG = 1 << 8 };

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t at = (uint64_t)registers[REG_RIP];
    if (trap.set && at - sequence->start < sequence->bytes && trap.steps++ == trap.place) {
        registers[REG_RIP] = (greg_t)fire(at);
        trap.steps = 0;
        trap.set = trap.action == ABORT_ALWAYS;
    }
    registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    registers[REG_EFL] |= trap.set ? TRAP_FLAG : 0;
}

/* A step may lie inside of TSan, which is not made for a handler there. */
static bool trap_usable(void)
{
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return true;
}

static void trap_begin(void)
{
    trap.steps = 0;
    (void)raise(SIGTRAP);
}

static void trap_end(void)
{
}

#else

/* A breakpoint: a place is the number of an instruction in memory. */
enum { STEPS = 0 };
static const uint32_t breakpoint = 0xd4200000;

static uint32_t *instruction(unsigned place)
{
    return (uint32_t *)(uintptr_t)sequence->start + place;
}

static void replace(uint32_t *at, uint32_t with)
{
    __atomic_store_n(at, with, __ATOMIC_RELAXED);
    __builtin___clear_cache((char *)at, (char *)(at + 1));
}

static void trap_end(void)
{
    if (trap.set) {
        replace(instruction(trap.place), trap.displaced);
        trap.set = false;
    }
}

static void on_trap(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ucontext_t *interrupted = context;
    if (trap.action != ABORT_ALWAYS) {
        trap_end();
    }
    interrupted->uc_mcontext.pc = fire(interrupted->uc_mcontext.pc);
}

/* Where no page may be written and executed, there is nothing to be had. */
static bool trap_usable(void)
{
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)sequence->start & ~(page_bytes - 1);
    uintptr_t to = (uintptr_t)(sequence->start + sequence->bytes);
    return mprotect((void *)from, to - from, PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

static void trap_begin(void)
{
    uint32_t *at = instruction(trap.place);
    trap.displaced = *at;
    replace(at, breakpoint);
}

#endif

/* How often it fired. */
static unsigned append_trapped(
    enum action action, unsigned place, struct ring_entry *entry, enum ring_append_result wanted)
{
    trap.action = action;
    trap.place = place;
    trap.fired = 0;
    trap.set = true;
    trap.nested = make_entry(YARDER_LEVEL_ERROR, 12, 0); /* no padding, which may hold anything */
    trap_begin();
    enum ring_append_result result = ring_append(tested->producer, entry);
    trap_end();
    trap.set = false;
    assert_int_equal(result, wanted);
    assert_false(trap.wrong);
    return trap.fired;
}

/* Interrupted once at each instruction, perhaps by one that appends. Returns how many there are. */
static unsigned interrupt_each(enum action action, size_t text_bytes, size_t extra_bytes)
{
    unsigned fired = 0;
    unsigned stride = 1;
    for (unsigned place = 0; place < sequence->bytes * (STEPS ? 64 : 1) / 4; place += stride) {
        stride += STEPS && place > 100 ? 1 : 0; /* rep movsb: a step for each byte */
        struct ring_entry entry = make_entry(YARDER_LEVEL_ERROR, text_bytes, extra_bytes);
        const struct ring_entry given = entry;
        unsigned times = append_trapped(action, place, &entry, RING_APPENDED);
        if (times > 0 && action == ABORT_AND_APPEND) {
            (void)append_plain(trap.nested, trap.nested.stamp);
        }
        assert_int_equal(append_plain(given, entry.stamp), RING_APPENDED);
        same();
        fired += times;
        if (STEPS && times == 0) {
            break;
        }
        if (place % 8 == 0) {
            (void)take_all();
        }
    }
    (void)take_all();
    return fired;
}

static void interrupted(void **state)
{
    (void)state;
    if (!trap_usable()) {
        skip();
    }
    open_both(RSEQ_MM_CID_OFFSET);
    assert_int_equal(append_both(make_entry(YARDER_LEVEL_ERROR, 0, 0)), RING_APPENDED);
    static const struct {
        size_t text;
        size_t extra;
    } shapes[] = {{0, 0}, {3, 0}, {5, 9}, {20, 2}, {100, 40}, {2100, 30}};
    for (unsigned i = 0; i < YARDER_COUNT_OF(shapes); i++) {
        assert_true(interrupt_each(ABORT, shapes[i].text, shapes[i].extra) > 25);
        assert_true(interrupt_each(ABORT_AND_APPEND, shapes[i].text, shapes[i].extra) > 25);
    }
    close_both();
}

/* Sixteen times in a row, at any instruction: nothing has happened then. */
static void given_up(void **state)
{
    (void)state;
    if (!trap_usable()) {
        skip();
    }
    open_both(RSEQ_MM_CID_OFFSET);
    assert_int_equal(append_both(make_entry(YARDER_LEVEL_ERROR, 0, 0)), RING_APPENDED);
    const struct ring_header *header = region_ring(&tested->producer->map, 0);
    unsigned places = interrupt_each(ABORT, 0, 0);
    for (unsigned place = 0; place < sequence->bytes / 4 && places > 0; place++) {
        struct ring_entry entry = make_entry(YARDER_LEVEL_ERROR, 0, 0);
        uint64_t head = header->head;
        if (STEPS || place == 0 || place == sequence->bytes / 4 - 1) {
            assert_int_equal(
                append_trapped(ABORT_ALWAYS, place, &entry, RING_ABORTED), RING_ABORTS_MAX);
            places -= STEPS ? 1 : 0;
        }
        assert_int_equal(header->head, head);
        assert_int_equal(
            append_both(make_entry(YARDER_LEVEL_ERROR, 0, 0)), RING_APPENDED); /* the count too */
        same();
    }
    close_both();
}

/* The thread has another id by the time that the sequence begins. */
static void moved(void **state)
{
    (void)state;
    if (!trap_usable()) {
        skip();
    }
    open_both(RSEQ_MM_CID_OFFSET);
    assert_int_equal(append_both(make_entry(YARDER_LEVEL_ERROR, 7, 0)), RING_APPENDED);
    struct ring_entry entry = make_entry(YARDER_LEVEL_ERROR, 7, 0);
    assert_int_equal(append_trapped(MOVE, 0, &entry, RING_APPENDED), 1);
    assert_int_equal(entry.ring, 1);
    assert_int_equal(region_ring(&tested->producer->map, 1)->records, 1);
    same(); /* nothing more in the first */
    assert_int_equal(take_all(), 2);
    close_both();
}

int main(void)
{
    fill_pattern();
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    (void)sigaction(SIGTRAP, &action, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupted),
        cmocka_unit_test(given_up),
        cmocka_unit_test(moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77; /* no restartable sequence for this architecture */
}

#endif

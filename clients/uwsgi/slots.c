/* SPDX-License-Identifier: Apache-2.0 */
#include "slots.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
enum { SLOT_LAZY = R_X86_64_JUMP_SLOT, SLOT_FILLED = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { SLOT_LAZY = R_AARCH64_JUMP_SLOT, SLOT_FILLED = R_AARCH64_GLOB_DAT };
#else
#error "clients/uwsgi/meson.build says where this is known"
#endif

/* Of one object. All addresses are in this process. */
struct object {
    uintptr_t from, to;           /* all of it */
    uintptr_t sealed, sealed_end; /* read-only since the loader was done */
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *names;
    const ElfW(Rela) * tables[2];
    size_t counts[2];
};

struct work {
    const struct slots_call *calls;
    size_t calls_count;
    size_t turned;
};

bool slots_find(struct slots_call *calls, size_t calls_count)
{
    for (size_t i = 0; i < calls_count; i++) {
        void *found = dlsym(RTLD_DEFAULT, calls[i].name);
        if (found == NULL) {
            return false;
        }
        memcpy(&calls[i].real, &found, sizeof(found));
    }
    return true;
}

static uintptr_t page_of(uintptr_t at)
{
    return at & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
}

static struct object object_of(const struct dl_phdr_info *info)
{
    struct object object = {.base = info->dlpi_addr, .from = UINTPTR_MAX};
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t at = object.base + part->p_vaddr;
        if (part->p_type == PT_LOAD) {
            object.from = yarder_min(object.from, at);
            object.to = at + part->p_memsz > object.to ? at + part->p_memsz : object.to;
        } else if (part->p_type == PT_GNU_RELRO) {
            object.sealed = at;
            object.sealed_end = page_of(at + part->p_memsz); /* as the loader seals: whole pages */
        } else if (part->p_type == PT_DYNAMIC) {
            memcpy(&object.dynamic, &at, sizeof(at));
        }
    }
    return object;
}

/* The loader has made most of these addresses; where it could not write they are still offsets. */
static void read_dynamic(struct object *object)
{
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        uintptr_t value = entry->d_un.d_val;
        uintptr_t at = value < object->base ? object->base + value : value;
        switch (entry->d_tag) {
        case DT_SYMTAB:
            memcpy(&object->symbols, &at, sizeof(at));
            break;
        case DT_STRTAB:
            memcpy(&object->names, &at, sizeof(at));
            break;
        case DT_JMPREL:
            memcpy(&object->tables[0], &at, sizeof(at));
            break;
        case DT_PLTRELSZ:
            object->counts[0] = value / sizeof(ElfW(Rela));
            break;
        case DT_RELA:
            memcpy(&object->tables[1], &at, sizeof(at));
            break;
        case DT_RELASZ:
            object->counts[1] = value / sizeof(ElfW(Rela));
            break;
        default:
            break;
        }
    }
}

static bool holds(const struct object *object, void (*function)(void))
{
    return (uintptr_t)function >= object->from && (uintptr_t)function < object->to;
}

static bool is_to_turn(const struct work *work, const struct object *object)
{
    for (size_t i = 0; i < work->calls_count; i++) {
        if (holds(object, work->calls[i].real) || holds(object, work->calls[i].instead)) {
            return false;
        }
    }
    return object->symbols != NULL && object->names != NULL;
}

static bool store(const struct object *object, void (**slot)(void), void (*function)(void))
{
    uintptr_t at = (uintptr_t)slot;
    bool is_sealed = at >= object->sealed && at < object->sealed_end;
    uintptr_t page = page_of(at);
    void *from;
    memcpy(&from, &page, sizeof(from));
    size_t bytes = at + sizeof(*slot) - page;
    if (is_sealed && mprotect(from, bytes, PROT_READ | PROT_WRITE) < 0) {
        return false;
    }
    __atomic_store_n(slot, function, __ATOMIC_RELEASE);
    return !is_sealed || mprotect(from, bytes, PROT_READ) == 0;
}

/* What it leads to: the function, or, as long as it was not called, the object's own way there. */
static void turn(struct work *work, const struct object *object, const ElfW(Rela) * relocation)
{
    uint32_t type = ELF64_R_TYPE(relocation->r_info);
    if (type != SLOT_LAZY && type != SLOT_FILLED) {
        return;
    }
    const ElfW(Sym) *symbol = &object->symbols[ELF64_R_SYM(relocation->r_info)];
    const char *name = object->names + symbol->st_name;
    for (size_t i = 0; i < work->calls_count; i++) {
        const struct slots_call *call = &work->calls[i];
        if (strcmp(name, call->name) == 0) {
            void (**slot)(void);
            uintptr_t at = object->base + relocation->r_offset;
            memcpy(&slot, &at, sizeof(at));
            void (*now)(void) = __atomic_load_n(slot, __ATOMIC_RELAXED);
            bool is_real = now == call->real || (type == SLOT_LAZY && holds(object, now));
            work->turned += is_real && store(object, slot, call->instead);
            return;
        }
    }
}

static int visit(struct dl_phdr_info *info, size_t info_bytes, void *work_)
{
    struct work *work = work_;
    struct object object = object_of(info);
    (void)info_bytes;
    if (object.dynamic == NULL) {
        return 0;
    }
    read_dynamic(&object);
    if (is_to_turn(work, &object)) {
        for (unsigned table = 0; table < 2; table++) {
            for (size_t i = 0; object.tables[table] != NULL && i < object.counts[table]; i++) {
                turn(work, &object, &object.tables[table][i]);
            }
        }
    }
    return 0;
}

size_t slots_turn(const struct slots_call *calls, size_t calls_count)
{
    struct work work = {.calls = calls, .calls_count = calls_count};
    (void)dl_iterate_phdr(visit, &work);
    return work.turned;
}

static int look_at_first(struct dl_phdr_info *info, size_t info_bytes, void *epoch)
{
    (void)info_bytes;
    *(uint64_t *)epoch = info->dlpi_adds;
    return 1;
}

uint64_t slots_epoch(void)
{
    uint64_t epoch = 0;
    (void)dl_iterate_phdr(look_at_first, &epoch);
    return epoch;
}

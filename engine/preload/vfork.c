/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child of vfork runs in its parent's memory with descriptors of its own: what is known of the
 * parent's does not hold for it, and it must not change it. Where there is no assembly below, the
 * process id tells, which costs each write to the log a system call.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "preload/preload.h"

#if defined(__x86_64__)

/* How many of these we are, counted by the parent before and after: its memory, its thread. */
extern __thread unsigned preload_vforks;
__thread unsigned preload_vforks __attribute__((tls_model("initial-exec")));

/*
 * libc's own way: the return address waits in a register, for the child returns first and uses
 * the stack that its parent returns by.
 */
__asm__(".pushsection .text\n"
        ".globl vfork\n"
        ".type vfork, @function\n"
        "vfork:\n"
        ".cfi_startproc\n"
        "    endbr64\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_register %rip, %rdi\n"
        "    movq preload_vforks@gottpoff(%rip), %rdx\n"
        "    incl %fs:(%rdx)\n"
        "    movl $58, %eax\n" /* __NR_vfork */
        "    syscall\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_offset %rip, -8\n"
        "    testl %eax, %eax\n"
        "    jz 1f\n"
        "    decl %fs:(%rdx)\n"
        "    cmpl $-4095, %eax\n"
        "    jb 1f\n"
        "    movl %eax, %edi\n"
        "    jmp preload_vfork_failed\n"
        "1:  ret\n"
        ".cfi_endproc\n"
        ".size vfork, .-vfork\n"
        ".popsection\n");

pid_t preload_vfork_failed(int result);
__attribute__((used)) pid_t preload_vfork_failed(int result)
{
    errno = -result;
    return -1;
}

bool vfork_child(void)
{
    return preload_vforks > 0;
}

#else

static pid_t owner;

static void owner_keep(void)
{
    owner = getpid();
}

__attribute__((constructor)) static void owner_begin(void)
{
    owner_keep();
    (void)pthread_atfork(NULL, NULL, owner_keep);
}

bool vfork_child(void)
{
    return getpid() != owner;
}

#endif

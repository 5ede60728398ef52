# SPDX-License-Identifier: Apache-2.0
"""Runs a command that may not use io_uring, as in containers: without_uring.py COMMAND..."""
import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_NUMBER = (0x20, 0, 0, 0)  # of the system call; BPF_LD | BPF_W | BPF_ABS
ALLOW = (0x06, 0, 0, 0x7FFF0000)
REFUSE = (0x06, 0, 0, 0x00050000 | 1)  # with EPERM
URING_FIRST, URING_LAST = 425, 427  # the same numbers on all architectures but alpha


def main():
    assert platform.machine() != "alpha"
    program = [
        LOAD_NUMBER,
        (0x35, 0, 2, URING_FIRST),  # below: allow
        (0x25, 1, 0, URING_LAST),  # above: allow
        REFUSE,
        ALLOW,
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                      (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[1], sys.argv[1:])


main()

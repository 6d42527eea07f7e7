"""Takes from the running process what reading a foreign file never needs: network, new processes, other files.

Landlock (Linux 5.13) bounds the files, and seccomp refuses system calls with EPERM. Both hold for the rest of the
process's life, and nothing in it can lift them. Where the system has neither, nothing happens and `confine` says so:
the work is the same without. Sources: Linux Documentation/userspace-api/landlock.rst and seccomp_filter.rst.

What is refused is a list of calls, not everything but a list: which calls a decoder's libraries make changes with every
release of libc, while those that reach out of a process are few and known.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable

PARTS = ("files", "calls")
"""What can be bounded: files by Landlock, calls by seccomp."""

# Landlock's rights by their bit; ABI 1 knows the first 13.
WRITE_FILE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_FILE, MAKE_REG, TRUNCATE = 1 << 5, 1 << 8, 1 << 14
RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
NEWEST_ABI = 6
OF_A_FILE = WRITE_FILE | READ_FILE | TRUNCATE
SCOPES = 0b11
"""Abstract Unix sockets and signals of other processes (ABI 6)."""
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

SYSTEM = (
    *("/usr", "/lib", "/lib64", "/lib32", "/nix/store", "/etc/ld.so.cache", "/etc/localtime"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
)
"""What libraries of the system read."""

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine → (seccomp's number for it, its column in CALLS)."""
CALLS: dict[str, tuple[int | None, int | None]] = {
    # other hosts and processes
    "socket": (41, 198),
    "socketpair": (53, 199),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    # attributes of files, which Landlock leaves alone
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    # the kernel's large and rarely used doors
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "personality": (135, 92),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
}
"""Refused calls: their numbers on x86-64 and on 64-bit ARM (None: there is none)."""
CLONE, CLONE3 = (56, 220), 435
CLONE_THREAD = 0x10000
OF_ONESELF = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
"""Calls whose first argument is a process: allowed for the process itself, by its number or 0 for prlimit64."""


def confine(readable: Iterable[str], listable: Iterable[str], writable: Iterable[str]) -> dict[str, str]:
    """Bound this process; call it before the first thread starts. Raises nothing.

    `readable` files and folders may be read beside those of the system, `listable` folders only listed; `writable`
    files are read and written, and in folders of it files are made and removed. Returns for each of PARTS "" where it
    holds, or why it does not.
    """
    reasons = dict.fromkeys(PARTS, "")
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        return dict.fromkeys(PARTS, f"not on {sys.platform} {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    # Without it only the superuser may do the following; it also keeps set-user-id programs from giving rights.
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for part, bound in (
        ("files", lambda: _bound_files(libc, readable, listable, writable)),
        ("calls", lambda: _bound_calls(libc)),
    ):
        try:
            bound()
        except OSError as error:
            reasons[part] = error.strerror or str(error)
    return reasons


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    """A system call's result. Raises OSError."""
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def _bound_files(
    libc: ctypes.CDLL, readable: Iterable[str], listable: Iterable[str], writable: Iterable[str]
) -> None:
    """Landlock. Raises OSError where the kernel lacks it."""
    abi = min(NEWEST_ABI, _call(libc, CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    rights = (1 << RIGHTS_OF_ABI.get(abi, 16)) - 1
    # struct landlock_ruleset_attr: rights of files, of TCP (bind, connect), scopes; an older kernel takes its beginning
    fields = struct.pack("=QQQ", rights, 0b11 if abi >= 4 else 0, SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    ruleset = _call(libc, CREATE_RULESET, fields, ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for paths, allowed in (
            ((*SYSTEM, *readable), READ_FILE | READ_DIR),
            (listable, READ_DIR),
            (writable, OF_A_FILE | READ_DIR | REMOVE_FILE | MAKE_REG),
        ):
            for path in paths:
                try:
                    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                except OSError:  # what is not there needs no right
                    continue
                try:
                    of_path = allowed if os.path.isdir(path) else allowed & OF_A_FILE
                    rule = struct.pack("=Qi", of_path & rights, fd)
                    _call(libc, ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0))
                finally:
                    os.close(fd)
        _call(libc, RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)


def _bound_calls(libc: ctypes.CDLL) -> None:
    """seccomp. Raises OSError where the kernel lacks it."""
    program = call_filter(*ARCHITECTURES[platform.machine()], os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def call_filter(architecture: int, column: int, pid: int) -> bytes:
    """The program that the kernel runs before each call: classic BPF over struct seccomp_data."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    number, machine, first = 0, 4, 16  # offsets: the call, the machine, the lower half of the first argument
    allow, kill = 0x7FFF0000, 0x80000000

    def refuse(code: int) -> int:
        return 0x00050000 | code

    def step(code: int, value: int, hit: int = 0, miss: int = 0) -> bytes:
        return struct.pack("=HBBI", code, hit, miss, value)

    # A program of another machine's calls, which have other numbers, ends.
    steps = [step(load, machine), step(equal, architecture, hit=1), step(give, kill), step(load, number)]
    if column == 0:  # x32's calls lie above
        steps += [step(at_least, 0x40000000, miss=1), step(give, refuse(errno.ENOSYS))]
    for numbers in CALLS.values():
        if (refused := numbers[column]) is not None:
            steps += [step(equal, refused, miss=1), step(give, refuse(errno.EPERM))]
    # clone3's flags lie in memory, where no filter sees them; libc then falls back on clone.
    steps += [step(equal, CLONE3, miss=1), step(give, refuse(errno.ENOSYS))]
    steps += [step(equal, CLONE[column], miss=4), step(load, first), step(any_bit, CLONE_THREAD, hit=1)]
    steps += [step(give, refuse(errno.EPERM)), step(give, allow)]
    for name, numbers in OF_ONESELF.items():
        steps += [step(equal, numbers[column], miss=5), step(load, first), step(equal, pid, hit=2)]
        steps += [step(equal, 0 if name == "prlimit64" else pid, hit=1), step(give, refuse(errno.EPERM))]
        steps += [step(give, allow)]
    return b"".join([*steps, step(give, allow)])

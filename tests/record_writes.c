/* Loaded before libc (LD_PRELOAD): writes down what a process does to the files below RECORD_ROOT, in order.
 *
 * Each record of RECORD_LOG is: kind (1 byte), inode, offset (8 bytes each), lengths of two texts (4 bytes each), the
 * two texts; little-endian as the machine is. tests/power_cuts.py reads them and says what the kinds mean. Memory that
 * is mapped is not seen: of SQLite's files that is the -shm index, which need not survive. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int below_root(const char *path) {
    const char *root = getenv("RECORD_ROOT");
    size_t length = root ? strlen(root) : 0;
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* The absolute path of a name; 0 when it lies elsewhere. */
static int resolve(int folder, const char *name, char *path) {
    char link[64];
    ssize_t length = 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(path, PATH_MAX)) return 0;
            length = strlen(path);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = readlink(link, path, PATH_MAX - 1);
            if (length < 0) return 0;
        }
        path[length++] = '/';
    }
    snprintf(path + length, PATH_MAX - length, "%s", name);
    return below_root(path);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below_root(path);
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static void record(char kind, uint64_t inode, uint64_t offset, const void *first, uint32_t first_length,
                   const char *second) {
    static int log_fd = -1;
    uint32_t second_length = second ? strlen(second) : 0;
    int error = errno;
    if (log_fd < 0) log_fd = syscall(SYS_openat, AT_FDCWD, getenv("RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    char head[25];
    memcpy(head, &kind, 1), memcpy(head + 1, &inode, 8), memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &first_length, 4), memcpy(head + 21, &second_length, 4);
    struct iovec parts[3] = {{head, 25}, {(void *)first, first_length}, {(void *)second, second_length}};
    if (syscall(SYS_writev, log_fd, parts, 3) != (ssize_t)(25 + first_length + second_length)) abort();
    errno = error;
}

static void record_path(char kind, uint64_t inode, const char *path, const char *second) {
    record(kind, inode, 0, path, strlen(path), second);
}

static int recorded_open(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat before;
    if (!(flags & (O_CREAT | O_TRUNC)) || !resolve(folder, name, path))
        return syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = stat(path, &before) != 0;
    int fd = syscall(SYS_openat, folder, name, flags, mode);
    if (fd >= 0 && is_new) record_path('C', inode_of(fd), path, NULL);
    else if (fd >= 0 && (flags & O_TRUNC) && before.st_size) record('T', inode_of(fd), 0, NULL, 0, NULL);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, int); \
        va_end(rest); \
    }
int open(const char *name, int flags, ...) { MODE(flags) return recorded_open(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return recorded_open(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE(flags) return recorded_open(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE(flags) return recorded_open(folder, name, flags, mode); }

/* The offset is asked for after a write: of a file that is appended to it is known only then. */
static ssize_t recorded_write(int fd, const void *data, size_t length, off64_t offset) {
    char path[PATH_MAX];
    int is_ours = path_of(fd, path);
    if (is_ours) pthread_mutex_lock(&lock);
    ssize_t written = offset < 0 ? syscall(SYS_write, fd, data, length) : syscall(SYS_pwrite64, fd, data, length, offset);
    if (is_ours) {
        if (written > 0)
            record('W', inode_of(fd), offset < 0 ? lseek64(fd, 0, SEEK_CUR) - written : offset, data, written, NULL);
        pthread_mutex_unlock(&lock);
    }
    return written;
}
ssize_t write(int fd, const void *data, size_t length) { return recorded_write(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return recorded_write(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return recorded_write(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = recorded_write(fd, parts[i].iov_base, parts[i].iov_len, -1);
        if (written < 0) return total ? total : -1;
        total += written;
        if ((size_t)written < parts[i].iov_len) break;
    }
    return total;
}

/* Copies inside the kernel are refused, so that the caller writes. */
ssize_t sendfile(int out, int in, off_t *offset, size_t count) { errno = EINVAL; return -1; }
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) { errno = EINVAL; return -1; }
ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t count, unsigned flags) { errno = EXDEV; return -1; }

static int recorded_truncate(int fd, off64_t size) {
    char path[PATH_MAX];
    int is_ours = path_of(fd, path);
    if (is_ours) pthread_mutex_lock(&lock);
    int result = syscall(SYS_ftruncate, fd, size);
    if (is_ours) {
        if (!result) record('T', inode_of(fd), size, NULL, 0, NULL);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int ftruncate(int fd, off_t size) { return recorded_truncate(fd, size); }
int ftruncate64(int fd, off64_t size) { return recorded_truncate(fd, size); }

static int recorded_sync(int fd, long call) {
    char path[PATH_MAX];
    struct stat status;
    int is_ours = path_of(fd, path);
    if (is_ours) pthread_mutex_lock(&lock);
    int result = syscall(call, fd);
    if (is_ours) {
        if (!result && !fstat(fd, &status)) record_path(S_ISDIR(status.st_mode) ? 'D' : 'S', status.st_ino, path, NULL);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int fsync(int fd) { return recorded_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return recorded_sync(fd, SYS_fdatasync); }

/* One name changes, or two: a removal, a new name, a folder. */
static int named(char kind, long call, int folder, const char *name, int other_folder, const char *other, int flags) {
    char path[PATH_MAX], second[PATH_MAX] = "";
    int is_ours = resolve(folder, name, path);
    if (other && !resolve(other_folder, other, second)) second[0] = 0;
    if (kind == 'U' && (flags & AT_REMOVEDIR)) kind = 'X';
    if (is_ours || second[0]) pthread_mutex_lock(&lock);
    int result = other ? syscall(call, folder, name, other_folder, other, flags) : syscall(call, folder, name, flags);
    if (is_ours || second[0]) {
        if (!result) record_path(kind, 0, path, second[0] ? second : NULL);
        pthread_mutex_unlock(&lock);
    }
    return result;
}
int unlink(const char *name) { return named('U', SYS_unlinkat, AT_FDCWD, name, 0, NULL, 0); }
int unlinkat(int folder, const char *name, int flags) { return named('U', SYS_unlinkat, folder, name, 0, NULL, flags); }
int rmdir(const char *name) { return named('U', SYS_unlinkat, AT_FDCWD, name, 0, NULL, AT_REMOVEDIR); }
int mkdir(const char *name, mode_t mode) { return named('M', SYS_mkdirat, AT_FDCWD, name, 0, NULL, mode); }
int mkdirat(int folder, const char *name, mode_t mode) { return named('M', SYS_mkdirat, folder, name, 0, NULL, mode); }
int rename(const char *a, const char *b) { return named('R', SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0); }
int renameat(int f, const char *a, int g, const char *b) { return named('R', SYS_renameat2, f, a, g, b, 0); }
int link(const char *a, const char *b) { return named('L', SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0); }
int linkat(int f, const char *a, int g, const char *b, int flags) { return named('L', SYS_linkat, f, a, g, b, flags); }

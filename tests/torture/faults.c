/* Faults at the n-th change of a file, for LD_PRELOAD: it sees what Python, torch, safetensors and Arrow do alike.

   Only files below `root` count.  The plan stands in memory that the process shares with the one that forked it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, RENAME = 4, SYNC = 8, REMOVE = 16 };

struct plan {
    long kinds;  /* which operations count */
    long at;     /* the fault comes at this one, from 1; 0 for none */
    long signal; /* sent before the operation; 0: it fails */
    long error;  /* errno of an operation that fails */
    long lasts;  /* later operations of these kinds fail too */
    long torn;   /* a write is done by half before the signal or error; a signal comes after any other operation */
    long jumps;  /* seconds by which the wall clock jumps at every reading, forwards and back */
    long trace;  /* descriptor that every operation is written to; 0 for none */
    long count;  /* operations so far */
    long fired;
    long peak; /* bytes of address space that the run took */
    char where[216]; /* the operation at which it was */
};

static struct plan *plan;
static char root[PATH_MAX];
static __thread int inside;

void torture_use(struct plan *shared, const char *folder) {
    strncpy(root, folder, sizeof root - 1);
    plan = shared;
}

/* The path of an operation, absolute; empty if it is not below the root. */
static const char *below(int folder, const char *path, char *full) {
    char link[64];
    long n = 0;
    full[0] = 0;
    if (!path || path[0] != '/') {
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
        n = readlink(link, full, PATH_MAX - 2);
        if (n < 0) n = 0;
        full[n] = 0;
        if (path) full[n++] = '/';
    }
    if (path) strncpy(full + n, path, PATH_MAX - n - 1), full[PATH_MAX - 1] = 0;
    return strncmp(full, root, strlen(root)) ? "" : full + strlen(root);
}

/* 0: go on; 1: fail with errno; 2: do it by half, or do it, and then call `finish`. */
static int comes(long kind, const char *name, int folder, const char *path) {
    char full[PATH_MAX];
    const char *rest;
    long number;
    if (!plan || inside || !(plan->kinds & kind)) return 0;
    inside = 1;
    rest = below(folder, path, full);
    inside = 0;
    if (!*rest) return 0;
    number = __sync_add_and_fetch(&plan->count, 1);
    if (plan->trace) dprintf((int)plan->trace, "%ld %s\n", kind, rest);
    if (!plan->at || number < plan->at || (number > plan->at && !plan->lasts)) return 0;
    if (!plan->fired) snprintf(plan->where, sizeof plan->where, "%s %s", name, rest);
    plan->fired++;
    if (plan->torn && (kind == WRITE || (plan->signal && kind != OPEN))) return 2;
    if (plan->signal) {
        kill(getpid(), (int)plan->signal);
        return 0;
    }
    errno = (int)plan->error;
    return 1;
}

static int finish(void) {
    if (plan->signal) kill(getpid(), (int)plan->signal);
    errno = (int)plan->error;
    return -1;
}

#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);
#define CHANGE(kind, name, folder, path, params, args)                                                                 \
    int name params {                                                                                                  \
        REAL(name)                                                                                                     \
        int now = comes(kind, #name, folder, path);                                                                    \
        if (now == 1) return -1;                                                                                       \
        int done = real args;                                                                                          \
        return now == 2 ? finish() : done;                                                                             \
    }

CHANGE(RENAME, rename, AT_FDCWD, to, (const char *from, const char *to), (from, to))
CHANGE(RENAME, renameat, b, to, (int a, const char *from, int b, const char *to), (a, from, b, to))
CHANGE(SYNC, fsync, fd, NULL, (int fd), (fd))
CHANGE(SYNC, fdatasync, fd, NULL, (int fd), (fd))
CHANGE(REMOVE, unlink, AT_FDCWD, path, (const char *path), (path))
CHANGE(REMOVE, unlinkat, folder, path, (int folder, const char *path, int flags), (folder, path, flags))
CHANGE(REMOVE, rmdir, AT_FDCWD, path, (const char *path), (path))
CHANGE(OPEN, mkdir, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
CHANGE(OPEN, mkdirat, folder, path, (int folder, const char *path, mode_t mode), (folder, path, mode))
CHANGE(WRITE, ftruncate, fd, NULL, (int fd, off_t size), (fd, size))
CHANGE(WRITE, ftruncate64, fd, NULL, (int fd, off64_t size), (fd, size))

#define WRITES(name, params, whole, half)                                                                              \
    ssize_t name params {                                                                                              \
        REAL(name)                                                                                                     \
        int now = comes(WRITE, #name, fd, NULL);                                                                       \
        if (now == 1) return -1;                                                                                       \
        if (now == 0) return real whole;                                                                               \
        ssize_t done = real half;                                                                                      \
        return plan->signal || done <= 0 ? finish() : done;                                                            \
    }

WRITES(write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITES(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITES(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), (fd, data, size / 2, at))
WRITES(writev, (int fd, const struct iovec *parts, int n), (fd, parts, n), (fd, parts, n / 2))

#define CREATES (flags & (O_CREAT | O_WRONLY | O_RDWR))
#define OPENS(name, folder, params, args)                                                                              \
    int name params {                                                                                                  \
        REAL(name)                                                                                                     \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                      \
        va_end(rest);                                                                                                  \
        return CREATES && comes(OPEN, #name, folder, path) == 1 ? -1 : real args;                                      \
    }
#define FOPENS(name)                                                                                                   \
    FILE *name(const char *path, const char *how) {                                                                    \
        REAL(name)                                                                                                     \
        return strpbrk(how, "wa+") && comes(OPEN, #name, AT_FDCWD, path) == 1 ? NULL : real(path, how);                \
    }

OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPENS(openat64, folder, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
FOPENS(fopen)
FOPENS(fopen64)

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime)
    static long sign = 1;
    int done = real(which, now);
    if (plan && plan->jumps && which == CLOCK_REALTIME) now->tv_sec += (sign = -sign) * plan->jumps;
    return done;
}

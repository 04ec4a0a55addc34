/* Preloaded into the shop's processes: a wall clock that can be stepped, and a disk that can be full.
 *
 * Each process that supervisord keeps maps the file $SHOP_FAULTS/$SUPERVISOR_PROCESS_NAME of two 64-bit numbers:
 * seconds to add to the wall clock, and whether regular files take no more bytes. CLOCK_MONOTONIC is never changed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *slot;

__attribute__((constructor)) static void map_slot(void) {
    const char *folder = getenv("SHOP_FAULTS"), *name = getenv("SUPERVISOR_PROCESS_NAME");
    char path[4096];
    if (!folder || !name || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0) return;
    if (syscall(SYS_ftruncate, file, 16) == 0) {
        void *found = mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
        if (found != MAP_FAILED) slot = found;
    }
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && slot && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += slot[0];
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec found;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &found)) return -1;
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}

static int is_full(int file) {
    struct stat about;
    if (!slot || !slot[1] || fstat(file, &about) || !S_ISREG(about.st_mode)) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count) {
    return is_full(file) ? -1 : syscall(SYS_write, file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t place) {
    return is_full(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, place);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t place) {
    return is_full(file) ? -1 : syscall(SYS_pwrite64, file, bytes, count, place);
}

int posix_fallocate(int file, off_t place, off_t length) {
    if (is_full(file)) return ENOSPC;
    return syscall(SYS_fallocate, file, 0, place, length) ? errno : 0;
}

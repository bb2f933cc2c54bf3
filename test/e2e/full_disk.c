/* A disk that can be full, or read-only: while the file $FULL_DISK_FLAG exists, writes to files whose path begins with
 * $FULL_DISK_PREFIX fail with ENOSPC; with $FULL_DISK_READ_ONLY they and whatever else would change such a path fail with
 * EROFS; with $FULL_DISK_NO_INODES files that are there take everything, but no new one can be made. Preloaded into the program
 * under test. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int is_below(const char *path) {
  const char *flag = getenv("FULL_DISK_FLAG");
  const char *prefix = getenv("FULL_DISK_PREFIX");
  if (flag == NULL || prefix == NULL || access(flag, F_OK) != 0) return 0;
  return strncmp(path, prefix, strlen(prefix)) == 0;
}

static int is_full(int fd) {
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0 || getenv("FULL_DISK_NO_INODES") != NULL) return 0;
  path[length] = '\0';
  return is_below(path);
}

static int lacks_inodes(const char *path) {
  return getenv("FULL_DISK_NO_INODES") != NULL && is_below(path) && access(path, F_OK) != 0;
}

static int is_read_only(const char *path) { return getenv("FULL_DISK_READ_ONLY") != NULL && is_below(path); }

#define CHANGES(name, result, parameters, arguments, refused, error) \
  result name parameters {                                           \
    static result(*next) parameters;                                 \
    if (next == NULL) next = dlsym(RTLD_NEXT, #name);                \
    if (refused) {                                                   \
      errno = error;                                                 \
      return -1;                                                     \
    }                                                                \
    return next arguments;                                           \
  }

#define FULL (getenv("FULL_DISK_READ_ONLY") != NULL ? EROFS : ENOSPC)
CHANGES(write, ssize_t, (int fd, const void *bytes, size_t count), (fd, bytes, count), is_full(fd), FULL)
CHANGES(pwrite, ssize_t, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at), is_full(fd), FULL)
CHANGES(pwrite64, ssize_t, (int fd, const void *bytes, size_t count, off64_t at), (fd, bytes, count, at), is_full(fd), FULL)
CHANGES(mkdir, int, (const char *path, mode_t mode), (path, mode), is_read_only(path) || lacks_inodes(path), FULL)
CHANGES(unlink, int, (const char *path), (path), is_read_only(path), EROFS)
CHANGES(rename, int, (const char *from, const char *to), (from, to), is_read_only(to), EROFS)

#define OPENS(name)                                                                                            \
  int name(const char *path, int flags, ...) {                                                                 \
    static int (*next)(const char *, int, ...);                                                                \
    if (next == NULL) next = dlsym(RTLD_NEXT, #name);                                                          \
    va_list more;                                                                                              \
    va_start(more, flags);                                                                                     \
    const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? (mode_t)va_arg(more, int) : 0;                \
    va_end(more);                                                                                              \
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0 && is_read_only(path)) {                                  \
      errno = EROFS;                                                                                           \
      return -1;                                                                                               \
    }                                                                                                          \
    if ((flags & O_CREAT) != 0 && lacks_inodes(path)) {                                                        \
      errno = ENOSPC;                                                                                          \
      return -1;                                                                                               \
    }                                                                                                          \
    return next(path, flags, mode);                                                                            \
  }

OPENS(open)
OPENS(open64)

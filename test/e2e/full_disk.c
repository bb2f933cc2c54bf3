/* A disk that can be full: while the file $FULL_DISK_FLAG exists, writes to files whose path begins with
 * $FULL_DISK_PREFIX fail with ENOSPC. Preloaded into the program under test. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_full(int fd) {
  const char *flag = getenv("FULL_DISK_FLAG");
  const char *prefix = getenv("FULL_DISK_PREFIX");
  if (flag == NULL || prefix == NULL || access(flag, F_OK) != 0) return 0;
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return strncmp(path, prefix, strlen(prefix)) == 0;
}

#define WRITER(name, result, parameters, arguments)             \
  result name parameters {                                      \
    static result(*next) parameters;                            \
    if (next == NULL) next = dlsym(RTLD_NEXT, #name);           \
    if (is_full(fd)) {                                          \
      errno = ENOSPC;                                           \
      return -1;                                                \
    }                                                           \
    return next arguments;                                      \
  }

WRITER(write, ssize_t, (int fd, const void *bytes, size_t count), (fd, bytes, count))
WRITER(pwrite, ssize_t, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
WRITER(pwrite64, ssize_t, (int fd, const void *bytes, size_t count, off64_t at), (fd, bytes, count, at))

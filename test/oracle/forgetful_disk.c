/* A disk that can lose its power, for one program: LD_PRELOAD it with ORACLE_DISK_ROOT (files below it are on that disk)
 * and ORACLE_DISK_UNDO (a directory). Before a write it keeps what the write replaces, in a file named after the written
 * file's inode; a successful sync forgets that. What is left there when the program has died was never promised by the
 * disk, and disk.py takes it back. ORACLE_DISK_SYNC_US: a sync takes up to so many microseconds longer.
 *
 * A record is two 64-bit numbers, offset and length, and the replaced bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void undo_name(const struct stat *file, char *name, size_t size) {
  snprintf(name, size, "%s/%llu", getenv("ORACLE_DISK_UNDO"), (unsigned long long)file->st_ino);
}

static int on_disk(int fd) {
  const char *root = getenv("ORACLE_DISK_ROOT");
  char link[64], path[4096];
  if (root == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strncmp(path, root, strlen(root)) == 0;
}

static int write_all(int fd, const char *from, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, from, size);
    if (n <= 0) return -1;
    from += n;
    size -= (size_t)n;
  }
  return 0;
}

/* One write(2) per record: a record is there whole, or the program died before the write it stands for. */
static int keep_old(int fd, size_t size, off_t offset) {
  struct stat file;
  char name[4200];
  char *record = NULL;
  if (fstat(fd, &file) != 0 || posix_memalign((void **)&record, BLOCK, BLOCK + size) != 0) return -1;
  memset(record, 0, BLOCK + size);
  size_t got = 0;
  while (got < size) {
    const ssize_t n = pread(fd, record + BLOCK + got, size - got, offset + (off_t)got);
    if (n < 0) { free(record); return -1; }
    if (n == 0) break;
    got += (size_t)n;
  }
  const uint64_t head[2] = {(uint64_t)offset, size};
  char *start = record + BLOCK - sizeof head;
  memcpy(start, head, sizeof head);
  undo_name(&file, name, sizeof name);
  const int undo = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int kept = undo < 0 ? -1 : write_all(undo, start, sizeof head + size);
  if (undo >= 0) close(undo);
  free(record);
  return kept;
}

static void forget_old(const struct stat *file) {
  char name[4200];
  undo_name(file, name, sizeof name);
  unlinkat(AT_FDCWD, name, 0);
}

static ssize_t write_at(const char *real_name, int fd, const void *from, size_t size, off_t offset) {
  ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, real_name);
  if (!on_disk(fd)) return real(fd, from, size, offset);
  pthread_mutex_lock(&lock);
  const int kept = keep_old(fd, size, offset);
  pthread_mutex_unlock(&lock);
  if (kept != 0) { errno = EIO; return -1; }
  return real(fd, from, size, offset);
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t offset) { return write_at("pwrite", fd, from, size, offset); }
ssize_t pwrite64(int fd, const void *from, size_t size, off_t offset) { return write_at("pwrite64", fd, from, size, offset); }

static int sync_file(const char *real_name, int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, real_name);
  struct stat file;
  if (!on_disk(fd)) return real(fd);
  const char *slow = getenv("ORACLE_DISK_SYNC_US");
  const long most = slow == NULL ? 0 : atol(slow);
  if (most > 0) usleep((useconds_t)(random() % most));
  const int result = real(fd);
  if (result == 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) {
    pthread_mutex_lock(&lock);
    forget_old(&file);
    pthread_mutex_unlock(&lock);
  }
  return result;
}

int fdatasync(int fd) { return sync_file("fdatasync", fd); }
int fsync(int fd) { return sync_file("fsync", fd); }

/* An inode's number is given to another file one day. */
int unlink(const char *path) {
  int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
  const char *root = getenv("ORACLE_DISK_ROOT");
  struct stat file;
  if (root != NULL && strncmp(path, root, strlen(root)) == 0 && stat(path, &file) == 0 && file.st_nlink == 1) forget_old(&file);
  return real(path);
}

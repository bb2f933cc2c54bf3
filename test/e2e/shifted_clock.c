/* A clock that somebody sets: the calendar's time is off by the seconds in the file $CLOCK_SHIFT, which is read again each
 * time. Clocks that only count on are left alone. Preloaded into the program under test. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
  long seconds = 0;
  const char *name = getenv("CLOCK_SHIFT");
  FILE *file = name == NULL ? NULL : fopen(name, "re");
  if (file == NULL) return 0;
  if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
  fclose(file);
  return seconds;
}

int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*next)(clockid_t, struct timespec *);
  if (next == NULL) next = dlsym(RTLD_NEXT, "clock_gettime");
  const int result = next(id, now);
  if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += shift();
  return result;
}

int gettimeofday(struct timeval *now, void *zone) {
  static int (*next)(struct timeval *, void *);
  if (next == NULL) next = dlsym(RTLD_NEXT, "gettimeofday");
  const int result = next(now, zone);
  if (result == 0) now->tv_sec += shift();
  return result;
}

time_t time(time_t *out) {
  static time_t (*next)(time_t *);
  if (next == NULL) next = dlsym(RTLD_NEXT, "time");
  const time_t now = next(NULL) + shift();
  if (out != NULL) *out = now;
  return now;
}

/* A host that moves: the name `moving.test` has the address in the file $MOVING_HOST, which is read again each time. Preloaded
 * into the program under test. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  if (next == NULL) next = dlsym(RTLD_NEXT, "getaddrinfo");
  char address[64] = "";
  if (node != NULL && strcmp(node, "moving.test") == 0) {
    const char *name = getenv("MOVING_HOST");
    FILE *file = name == NULL ? NULL : fopen(name, "re");
    if (file != NULL) {
      if (fscanf(file, "%63s", address) != 1) address[0] = '\0';
      fclose(file);
    }
    node = address;
  }
  return next(node, service, hints, found);
}

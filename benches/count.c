/* What one hit does, counted rather than timed: it prints the allocations itself, and callgrind or strace, around it,
 * count instructions and system calls. Usage: count tokencache|floor HITS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { ENTRIES = 2000, VALUE = 7000 };

/* The program's own malloc comes before libc's for the libraries too. Only the thread that makes the hits is counted. */
static _Thread_local bool counting;
static _Thread_local size_t allocations;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t size) {
  allocations += counting;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  allocations += counting;
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  allocations += counting;
  return __libc_realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  allocations += counting;
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : 12;
}

int main(int count, char **arguments) {
  if (count != 3) return 2;
  bool is_floor = strcmp(arguments[1], "floor") == 0;
  size_t hits = strtoul(arguments[2], NULL, 10);
  char *keys = make_keys(ENTRIES), value[VALUE];
  memset(value, 'v', sizeof value);
  uint32_t *draws = zipf_draws(ENTRIES, hits, 1);

  subject on = is_floor ? open_floor() : open_tokencache(1 << 26);
  for (size_t i = 0; i < ENTRIES; i++) must(set(&on, keys + i * KEY_STRIDE, value, sizeof value), "fill");

  counting = true;
  must(set(&on, keys, value, sizeof value), "set");
  if (allocations == 0) {
    fprintf(stderr, "a set allocates, and this was not seen here\n");
    return 2;
  }
  allocations = 0;
  for (size_t i = 0; i < hits; i++) {
    const tc_value *got;
    if (on.get(on.cache, keys + draws[i] * KEY_STRIDE, KEY_LENGTH, &got) != TC_OK) abort();
    on.release(got);
  }
  counting = false;
  report("allocations", (double)allocations, "in %zu hits", hits);
  return 0;
}

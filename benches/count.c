/* What one operation does, counted rather than timed: it prints the allocations itself, and callgrind or strace, around
 * it, count instructions and system calls. The first CALLS warm up, and the next CALLS are what is counted.
 * Usage: count OPERATION CALLS [FOLDER] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { ENTRIES = 2000, VALUE = 7000 };

/* The program's own malloc comes before libc's for the libraries too. Only the thread that makes the calls is counted. */
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

static subject on;
static char *keys, value[2 * VALUE];
static size_t value_len = VALUE;
static const tc_value *envelope;
static tc_status (*protect)(tc_cache *, const char *, size_t, const void *, size_t, const tc_value **);
static tc_status (*unprotect)(tc_cache *, const char *, size_t, const void *, size_t, const tc_value **);

static void expect(tc_status expected, tc_status status) {
  if (status != expected) abort();
}

static void fill(void) {
  counting = true;
  for (size_t i = 0; i < ENTRIES; i++) must(set(&on, keys + i * KEY_STRIDE, value, value_len), "fill");
  counting = false;
  if (allocations == 0) {
    fprintf(stderr, "a set allocates, and this was not seen here\n");
    exit(2);
  }
  allocations = 0;
}

static void open_full(const char *folder) {
  (void)folder;
  on = open_tokencache(1 << 26);
  fill();
}

/* Of what MSAL stores, a set wants to know when it ends. */
static void open_full_of_msal(const char *folder) {
  FILE *file = fopen("tests/fixtures/msal/user.json", "r");
  value_len = file ? fread(value, 1, sizeof value, file) : 0;
  if (value_len < 1000 || value_len == sizeof value) abort();
  fclose(file);
  open_full(folder);
}

static void open_full_floor(const char *folder) {
  (void)folder;
  on = open_floor();
  fill();
}

/* The file has entries, and other keys are asked for. No deadline may pass under valgrind. Opened anew, because how much
 * of what was filled has gone from the log to the file is a question of time. */
static void open_sqlite(const char *folder) {
  char document[4500];
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/l2.db\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": 30000}}",
           folder);
  on = open_document(document);
  fill();
  must(on.close(on.cache), "tc_close");
  on = open_document(document);
  for (size_t i = 0; i < ENTRIES; i++) write_key(ENTRIES + i, keys + i * KEY_STRIDE);
}

/* Under a key that anybody can read here. */
static void open_sealing(const char *folder) {
  (void)folder;
  on = open_document("{\"version\": 1, \"encryption\": {\"algorithm\": \"aes-256-gcm\", \"keyring\": {\"version\": 1, "
                     "\"keys\": [{\"state\": \"active\", \"material\": \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}]}}}");
  protect = tokencache_symbol("tc_protect");
  unprotect = tokencache_symbol("tc_unprotect");
  must(protect(on.cache, keys, KEY_LENGTH, value, value_len, &envelope), "tc_protect");
}

static void open_closed(const char *folder) {
  open_full(folder);
  must(on.close(on.cache), "tc_close");
}

static void hit(const char *key) {
  const tc_value *got;
  expect(TC_OK, on.get(on.cache, key, KEY_LENGTH, &got));
  on.release(got);
}

static void get_into(const char *key) {
  static char buffer[VALUE];
  size_t len;
  expect(TC_OK, on.get_into(on.cache, key, KEY_LENGTH, buffer, sizeof buffer, &len));
}

static void overwrite(const char *key) { expect(TC_OK, set(&on, key, value, value_len)); }

static void miss(const char *key) {
  const tc_value *got;
  expect(TC_NOT_FOUND, on.get(on.cache, key, KEY_LENGTH, &got));
}

static void seal(const char *key) {
  const tc_value *sealed;
  expect(TC_OK, protect(on.cache, key, KEY_LENGTH, value, value_len, &sealed));
  on.release(sealed);
}

static void unseal(const char *key) {
  (void)key;
  const tc_value *opened;
  expect(TC_OK, unprotect(on.cache, keys, KEY_LENGTH, envelope->data, envelope->len, &opened));
  on.release(opened);
}

static void refused(const char *key) {
  const tc_value *got;
  expect(TC_INVALID_HANDLE, on.get(on.cache, key, KEY_LENGTH, &got));
}

static const struct {
  const char *name;
  void (*prepare)(const char *folder);
  void (*call)(const char *key);
} operations[] = {
    {"floor", open_full_floor, hit},
    {"hit", open_full, hit},
    {"get_into", open_full, get_into},
    {"miss", open_sqlite, miss},
    {"set", open_full, overwrite},
    {"set_msal", open_full_of_msal, overwrite},
    {"seal", open_sealing, seal},
    {"open", open_sealing, unseal},
    {"handle", open_closed, refused},
};

/* callgrind counts inside this alone, so it is not to be inlined. */
__attribute__((noinline)) void counted(void (*call)(const char *), const uint32_t *draws, size_t calls) {
  counting = true;
  for (size_t i = 0; i < calls; i++) call(keys + draws[i] * KEY_STRIDE);
  counting = false;
}

int main(int count, char **arguments) {
  if (count < 3) return 2;
  size_t calls = strtoul(arguments[2], NULL, 10), number = 0, known = sizeof operations / sizeof *operations;
  while (number < known && strcmp(operations[number].name, arguments[1])) number++;
  if (number == known) return 2;
  keys = make_keys(ENTRIES);
  memset(value, 'v', sizeof value);
  uint32_t *draws = zipf_draws(ENTRIES, 2 * calls, 1);
  operations[number].prepare(count > 3 ? arguments[3] : NULL);

  for (size_t i = 0; i < calls; i++) operations[number].call(keys + draws[i] * KEY_STRIDE);
  /* strace shows these two, and what is counted lies between them. */
  getppid();
  counted(operations[number].call, draws + calls, calls);
  getppid();
  report("allocations", (double)allocations, "in %zu calls", calls);
  return 0;
}

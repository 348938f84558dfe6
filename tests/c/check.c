#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *folder, *chosen;
_Thread_local char got_text[256];

static pthread_t started[64];
static int started_count;

int main(int argc, char **argv) {
  if (argc != 3) failed(__FILE__, __LINE__, "the arguments are a folder and what to run");
  folder = argv[1];
  chosen = argv[2];
  run();
  return 0;
}

_Noreturn void failed(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: not so: %s; last error: %s\n", file, line, what, tc_last_error());
  /* Not exit: other threads may be in the middle of anything. */
  _exit(1);
}

void is(const char *file, int line, const char *call, tc_status expected, tc_status got) {
  if (got == expected) return;
  fprintf(stderr, "%s is %s, not %s\n", call, tc_status_name(got), tc_status_name(expected));
  failed(file, line, call);
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * (int64_t)1000 + time.tv_nsec / 1000000;
}

int64_t now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

int64_t unix_ms(void) { return clock_ms(CLOCK_REALTIME); }

void yield_briefly(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

int often(int number) { return getenv("TOKENCACHE_TEST_SLOW") ? number / 20 + 1 : number; }

static tc_cache *open_document(const char *l2, const char *members) {
  char document[4096];
  const char *patient = ", \"resilience\": {\"deadline_ms\": 60000, \"close_ms\": 60000, \"circuit_failures\": 0}";
  snprintf(document, sizeof document, "{\"version\": 1, \"logging\": {\"to\": \"none\"}%s%s}", l2,
           members ? members : patient);
  tc_cache *cache = NULL;
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  CHECK(cache != NULL);
  return cache;
}

tc_cache *open_l1(const char *members) { return open_document("", members); }

/* A folder of its own, so that its name can stand for an L2 that is there or not. */
static const char *store(const char *name) {
  static _Thread_local char paths[2][512];
  char *path = paths[*name == 'a'];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

tc_cache *open_sqlite(const char *members) {
  char l2[1024];
  mkdir(store("store"), 0700);
  snprintf(l2, sizeof l2,
           ", \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/tokens.db\"}, \"encryption\": {\"algorithm\": \"none\"}",
           store("store"));
  return open_document(l2, members);
}

bool has_l2(void) { return strcmp(chosen, "sqlite") == 0; }

tc_cache *open_cache(const char *members) { return has_l2() ? open_sqlite(members) : open_l1(members); }

void l2_goes_away(void) { CHECK(rename(store("store"), store("away")) == 0); }

void l2_comes_back(void) { CHECK(rename(store("away"), store("store")) == 0); }

tc_status set(tc_cache *cache, const char *key, const char *text) {
  return tc_set(cache, key, TC_NTS, text, strlen(text), NULL, NULL);
}

tc_status get(tc_cache *cache, const char *key) {
  const tc_value *value = NULL;
  tc_status status = tc_get(cache, key, TC_NTS, &value);
  if (status == TC_OK) {
    CHECK(value->len < sizeof got_text);
    memcpy(got_text, value->data, value->len);
    got_text[value->len] = 0;
    tc_value_release(value);
  }
  return status;
}

bool says(const char *words) { return strstr(tc_last_error(), words) != NULL; }

void start_threads(int count, void *(*body)(void *), void *argument) {
  CHECK(started_count + count <= (int)(sizeof started / sizeof *started));
  for (; count > 0; count--) CHECK(pthread_create(&started[started_count++], NULL, body, argument) == 0);
}

void join_threads(void) {
  while (started_count > 0) CHECK(pthread_join(started[--started_count], NULL) == 0);
}

long resident_kib(void) {
  if (getenv("TOKENCACHE_SANITIZER") != NULL) return 0;
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%*s %ld", &pages) == 1);
  fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int names_in(const char *path) {
  int count = 0;
  DIR *names = opendir(path);
  CHECK(names != NULL);
  while (readdir(names) != NULL) count++;
  closedir(names);
  return count;
}

int open_files(void) { return names_in("/proc/self/fd"); }

int threads(void) { return names_in("/proc/self/task") - 2; }

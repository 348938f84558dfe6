/* Forks, as many as the second argument says, while eight threads of the parent set, get and remove. Nothing acknowledged
 * is lost, the parent goes on as if nothing had happened, and each child is served by its first call. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fork.h"

enum { THREADS = 8, KEYS = 16, MOST = 2000 };

/* What was acknowledged last for a key of a thread: a number, or nothing after a remove. */
typedef struct {
  int number;
  bool is_there;
} acknowledged;

static tc_cache *cache;
static _Atomic bool is_over;
static _Atomic int operations;
static _Atomic int next_thread;
static acknowledged last[THREADS][KEYS];
static int64_t *first_call_us;
static int port;

static int64_t now_us(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * (int64_t)1000000 + time.tv_nsec / 1000;
}

static void name(char (*key)[32], int thread, int at) { snprintf(*key, sizeof *key, "thread %d, %d", thread, at); }

static void keep(tc_status status) {
  if (status == TC_DEGRADED && getenv("TOKENCACHE_TEST_JOURNAL")) return;
  IS(TC_OK, status);
}

static void *work(void *nothing) {
  int thread = next_thread++;
  char key[32], text[32];
  for (int number = 1; !is_over; number++) {
    int at = number % KEYS;
    name(&key, thread, at);
    if (number % 5 == 4) {
      keep(tc_remove(cache, key, TC_NTS));
      last[thread][at] = (acknowledged){number, false};
    } else {
      snprintf(text, sizeof text, "%d", number);
      keep(set(cache, key, text));
      last[thread][at] = (acknowledged){number, true};
      if (number % 3 == 0) IS(TC_OK, tc_clear(cache));
      IS(TC_OK, get(cache, key));
      CHECK(strcmp(got_text, text) == 0);
    }
    operations++;
  }
  return nothing;
}

/* Connections of this process to the server. */
static int links(void) {
  int count = 0;
  DIR *names = opendir("/proc/self/fd");
  CHECK(names != NULL);
  for (struct dirent *entry; (entry = readdir(names)) != NULL;) {
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    int descriptor = atoi(entry->d_name);
    if (getpeername(descriptor, (struct sockaddr *)&peer, &len) != 0 || peer.sin_family != AF_INET) continue;
    count += ntohs(peer.sin_port) == port;
  }
  closedir(names);
  return count;
}

static uint64_t figure(const char *member) {
  const tc_value *stats = NULL;
  IS(TC_OK, tc_stats(cache, &stats));
  char *text = strndup(stats->data, stats->len), pattern[64];
  tc_value_release(stats);
  snprintf(pattern, sizeof pattern, "\"%s\":", member);
  char *found = strstr(text, pattern);
  CHECK(found != NULL);
  uint64_t value = strtoull(found + strlen(pattern), NULL, 10);
  free(text);
  return value;
}

static _Noreturn void child(int number) {
  char key[32];
  CHECK(links() == 0);
  snprintf(key, sizeof key, "child %d", number);
  int64_t start = now_us();
  tc_status status = get(cache, "parent");
  first_call_us[number] = now_us() - start;
  if (status == TC_L2_UNREACHABLE) end_cut_off(cache);
  IS(TC_OK, status);
  CHECK(strcmp(got_text, "parent") == 0);
  CHECK(links() == (port != 0));
  IS(TC_OK, set(cache, key, key));
  IS(TC_OK, get(cache, key));
  if (number % 3 == 0) IS(TC_OK, tc_close(cache));
  if (number % 2) exit(0);
  _exit(0);
}

static tc_cache *open_chosen(void) {
  char document[2048], journal[600] = "", l2[700];
  tc_cache *opened = NULL;
  const char *url = getenv("TOKENCACHE_TEST_REDIS");
  if (getenv("TOKENCACHE_TEST_JOURNAL"))
    snprintf(journal, sizeof journal, ", \"journal_path\": \"%s/owed.db\"", folder);
  if (url) snprintf(l2, sizeof l2, "\"kind\": \"redis\", \"url\": \"%s\"", url);
  else snprintf(l2, sizeof l2, "\"kind\": \"sqlite\", \"path\": \"%s/tokens.db\"", folder);
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {%s}, \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"},"
           " \"coherence\": {\"heartbeat_timeout_ms\": 60000},"
           " \"resilience\": {\"deadline_ms\": 60000, \"close_ms\": 60000, \"circuit_failures\": 0%s}}",
           l2, journal);
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &opened));
  if (url) port = atoi(strrchr(url, ':') + 1);
  return opened;
}

static void compare(void) {
  tc_cache *fresh = open_chosen();
  char key[32], text[32];
  for (int thread = 0; thread < THREADS; thread++) {
    for (int at = 0; at < KEYS; at++) {
      if (last[thread][at].number == 0) continue;
      name(&key, thread, at);
      snprintf(text, sizeof text, "%d", last[thread][at].number);
      IS(last[thread][at].is_there ? TC_OK : TC_NOT_FOUND, get(fresh, key));
      CHECK(!last[thread][at].is_there || strcmp(got_text, text) == 0);
    }
  }
  IS(TC_OK, tc_close(fresh));
}

static int by_size(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return (left > right) - (left < right);
}

void run(void) {
  int forks = atoi(chosen), cut_off = 0, least = 1 << 30;
  char key[32];
  CHECK(forks > 0 && forks <= MOST);
  give_up_after(900);
  first_call_us = mmap(NULL, MOST * sizeof *first_call_us, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(first_call_us != MAP_FAILED);
  cache = open_chosen();
  IS(TC_OK, set(cache, "parent", "parent"));
  int links_before = links();
  uint64_t made_before = port ? figure("links_made") : 0;
  start_threads(THREADS, work, NULL);
  int descriptors = open_files();
  for (int number = 0; number < forks; number++) {
    int before = operations;
    pid_t pid = forked();
    if (pid == 0) child(number);
    /* The parent goes on while its child lives, or right after. */
    UNTIL(operations > before + THREADS);
    if (operations - before < least) least = operations - before;
    if (reap(pid)) {
      cut_off++;
      continue;
    }
    snprintf(key, sizeof key, "child %d", number);
    IS(TC_OK, get(cache, key));
    CHECK(strcmp(got_text, key) == 0);
  }
  is_over = true;
  join_threads();
  keep(tc_flush(cache, 60000));
  CHECK(links() == links_before);
  if (port) CHECK(figure("links_made") == made_before && figure("links_lost") == 0);
  CHECK(open_files() <= descriptors + 24);
  IS(TC_OK, tc_close(cache));
  compare();
  qsort(first_call_us, forks, sizeof *first_call_us, by_size);
  printf("%d forks, %d operations beside them, at least %d during each, %d children without SQLite, first call %.1f ms "
         "(median; longest %.1f ms)\n",
         forks, operations, least, cut_off, first_call_us[forks / 2] / 1000.0, first_call_us[forks - 1] / 1000.0);
  CHECK(cut_off <= forks / 10);
}

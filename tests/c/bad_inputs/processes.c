/* What a host does to a library: fork, unload, signals, a second copy of it. */
#include <dlfcn.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rows.h"

static void child_passes(pid_t child) {
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static _Atomic bool busy;

static void *be_busy(void *cache) {
  /* In L1 alone: SQLite cannot be used in a child of a process that was inside it. */
  while (busy) IS(TC_OK, get(cache, "alice"));
  return NULL;
}

void fork_after_open(void) {
  tc_cache *cache = open_sqlite(NULL), *memory = open_l1(NULL);
  IS(TC_OK, set(cache, "alice", "token"));
  IS(TC_OK, set(memory, "alice", "token"));
  busy = true;
  start_threads(2, be_busy, memory);
  for (int i = 0; i < 50; i++) {
    pid_t child = fork();
    if (child == 0) {
      const tc_value *value = NULL;
      char key[16];
      snprintf(key, sizeof key, "child %d", i);
      IS(TC_NOT_FOUND, tc_peek(cache, "alice", 5, &value));
      IS(TC_OK, get(cache, "alice"));
      IS(TC_OK, set(cache, key, "token"));
      IS(TC_NOT_FOUND, get(memory, "alice"));
      IS(TC_OK, set(memory, "alice", "another"));
      if (i % 2) IS(TC_OK, tc_close(cache));
      _exit(0);
    }
    child_passes(child);
    char key[16];
    snprintf(key, sizeof key, "child %d", i);
    IS(TC_OK, get(cache, key));
    IS(TC_OK, get(memory, "alice"));
    CHECK(strcmp(got_text, "token") == 0);
  }
  busy = false;
  join_threads();
  IS(TC_OK, tc_close(cache));
}

static _Atomic int answered;

static void done(void *user_data, const tc_result *result) {
  (void)user_data;
  IS(TC_OK, result->status);
  answered++;
}

void child_exits(void) {
  tc_cache *cache = open_sqlite(NULL);
  for (int i = 0; i < 20; i++) {
    answered = 0;
    for (int call = 0; call < 20; call++) IS(TC_OK, tc_set_async(cache, "alice", 5, "token", 5, NULL, done, NULL));
    pid_t child = fork();
    if (child == 0 && i % 2) exit(0);
    if (child == 0) _exit(0);
    child_passes(child);
    UNTIL(answered == 20);
  }
  IS(TC_OK, get(cache, "alice"));
  IS(TC_OK, tc_close(cache));
}

/* The functions of another copy of the library. */
typedef struct {
  void *library;
  tc_status (*open)(uint32_t, const char *, size_t, tc_cache **);
  tc_status (*close)(tc_cache *);
  tc_status (*get)(tc_cache *, const char *, size_t, const tc_value **);
  tc_status (*set)(tc_cache *, const char *, size_t, const void *, size_t, const tc_set_options *, uint64_t *);
  tc_status (*set_async)(tc_cache *, const char *, size_t, const void *, size_t, const tc_set_options *, tc_done_fn,
                         void *);
  void (*release)(const tc_value *);
} copy_of_library;

static const char *copy_path;

static copy_of_library load(const char *path) {
  copy_of_library copy = {.library = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
  CHECK(copy.library != NULL);
  *(void **)&copy.open = dlsym(copy.library, "tc_open");
  *(void **)&copy.close = dlsym(copy.library, "tc_close");
  *(void **)&copy.get = dlsym(copy.library, "tc_get");
  *(void **)&copy.set = dlsym(copy.library, "tc_set");
  *(void **)&copy.set_async = dlsym(copy.library, "tc_set_async");
  *(void **)&copy.release = dlsym(copy.library, "tc_value_release");
  CHECK(copy.open != NULL && copy.open != tc_open && copy.release != NULL);
  return copy;
}

static copy_of_library load_copy(void) {
  static char path[512];
  char command[2048];
  Dl_info here;
  CHECK(dladdr((void *)(uintptr_t)&tc_open, &here) != 0);
  snprintf(path, sizeof path, "%s/copy.so", folder);
  snprintf(command, sizeof command, "cp -L '%s' '%s'", here.dli_fname, path);
  CHECK(system(command) == 0);
  copy_path = path;
  return load(path);
}

static tc_cache *open_copy(const copy_of_library *copy) {
  char document[1024];
  tc_cache *cache = NULL;
  /* A file of its own: two SQLites in one process do not see each other's locks. */
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/copy.db\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": 60000}}",
           folder);
  IS(TC_OK, copy->open(TC_ABI_VERSION, document, TC_NTS, &cache));
  return cache;
}

void two_copies(void) {
  copy_of_library copy = load_copy();
  tc_cache *ours = open_sqlite(NULL), *theirs = open_copy(&copy);
  const tc_value *value = NULL;
  IS(TC_OK, set(ours, "alice", "ours"));
  IS(TC_NOT_FOUND, copy.get(theirs, "alice", 5, &value));
  IS(TC_OK, copy.set(theirs, "alice", 5, "theirs", 6, NULL, NULL));
  IS(TC_OK, get(ours, "alice"));
  CHECK(strcmp(got_text, "ours") == 0);
  IS(TC_OK, copy.get(theirs, "alice", 5, &value));
  CHECK(value->len == 6);
  copy.release(value);
  IS(TC_INVALID_HANDLE, get(theirs, "alice"));
  IS(TC_INVALID_HANDLE, tc_close(theirs));
  IS(TC_INVALID_HANDLE, copy.get(ours, "alice", 5, &value));
  IS(TC_INVALID_HANDLE, copy.close(ours));
  pid_t child = fork();
  if (child == 0) {
    IS(TC_OK, get(ours, "alice"));
    IS(TC_OK, copy.get(theirs, "alice", 5, &value));
    _exit(0);
  }
  child_passes(child);
  IS(TC_OK, tc_close(ours));
  IS(TC_OK, copy.get(theirs, "alice", 5, &value));
  copy.release(value);
  IS(TC_OK, copy.close(theirs));
}

static _Atomic bool is_used;

static void *use_copy(void *argument) {
  const copy_of_library *copy = ((void **)argument)[0];
  tc_cache *theirs = ((void **)argument)[1];
  for (int i = 0; !is_used || i < 100; i++) {
    const tc_value *value = NULL;
    IS(TC_OK, copy->set(theirs, "thread", 6, "token", 5, NULL, NULL));
    IS(TC_OK, copy->get(theirs, "thread", 6, &value));
    copy->release(value);
  }
  return NULL;
}

/* Again and again, with calls under way on its threads and ours. */
void unloaded_while_open(void) {
  copy_of_library first = load_copy();
  tc_cache *kept = open_copy(&first);
  void *argument[] = {&first, kept};
  start_threads(2, use_copy, argument);
  for (int round = 0; round < 20; round++) {
    copy_of_library copy = round ? load(copy_path) : first;
    tc_cache *cache = open_copy(&copy);
    answered = 0;
    for (int i = 0; i < 50; i++) IS(TC_OK, copy.set_async(cache, "alice", 5, "token", 5, NULL, done, NULL));
    CHECK(dlclose(copy.library) == 0);
    UNTIL(answered == 50);
    if (round % 2) IS(TC_OK, copy.close(cache));
    else {
      copy_of_library again = load(copy_path);
      IS(TC_OK, again.set(cache, "alice", 5, "again", 5, NULL, NULL));
      CHECK(dlclose(again.library) == 0);
      IS(TC_OK, copy.close(cache));
    }
  }
  is_used = true;
  join_threads();
  IS(TC_OK, first.close(kept));
}

static _Atomic int alarms;

static void count(int signal) {
  alarms += signal == SIGALRM;
}

/* A host that lets SIGPIPE end it, or ignores it, logs to a pipe that nobody reads. */
static void log_to_nobody(void (*disposition)(int)) {
  int ends[2];
  char document[1024];
  tc_cache *cache = NULL;
  signal(SIGPIPE, disposition);
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l2\": {\"kind\": \"sqlite\", \"path\": \"%s/store/tokens.db\"},"
           " \"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"circuit_failures\": 0}}",
           folder);
  IS(TC_OK, tc_close(open_sqlite(NULL)));
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  close(ends[0]);
  l2_goes_away();
  for (int i = 0; i < 10; i++) IS(TC_L2_UNREACHABLE, get(cache, "alice"));
  l2_comes_back();
  _exit(0);
}

void storm_of_signals(void) {
  for (int i = 0; i < 2; i++) {
    pid_t child = fork();
    if (child == 0) log_to_nobody(i ? SIG_IGN : SIG_DFL);
    child_passes(child);
  }
  /* Without SA_RESTART: a system call of the library that forgot about signals fails now. */
  struct sigaction action = {.sa_handler = count};
  CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGCHLD, &action, NULL) == 0);
  CHECK(sigaction(SIGPIPE, &action, NULL) == 0);
  tc_cache *cache = open_sqlite(NULL);
  struct itimerval storm = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
  CHECK(setitimer(ITIMER_REAL, &storm, NULL) == 0);
  answered = 0;
  int accepted = 0;
  for (int i = 0; alarms < 300; i++) {
    char key[16];
    snprintf(key, sizeof key, "key %d", i % 100);
    IS(TC_OK, set(cache, key, "token"));
    IS(TC_OK, tc_clear(cache));
    IS(TC_OK, get(cache, key));
    raise(i % 2 ? SIGCHLD : SIGPIPE);
    if (i % 10 == 0) {
      IS(TC_OK, tc_set_async(cache, key, strlen(key), "token", 5, NULL, done, NULL));
      accepted++;
    }
  }
  UNTIL(answered == accepted);
  IS(TC_OK, tc_close(cache));
}

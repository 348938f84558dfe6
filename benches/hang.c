/* A Redis that hangs: it is stopped, takes connections, and says nothing. How far calls go beyond their deadline, and how
 * soon after it goes on a cache whose circuit is open is answered by it. Usage: hang PORT [CALLS] [RECOVERIES] */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { DEADLINE_MS = 300, MAX_CALLS = 1000 };

static pid_t server;

static subject open_on(const char *port, const char *resilience) {
  char document[600];
  snprintf(document, sizeof document,
           "{\"version\": 1, \"l1\": {\"enabled\": false}, \"logging\": {\"to\": \"none\"}, "
           "\"l2\": {\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:%s\"}, "
           "\"encryption\": {\"algorithm\": \"none\"}, \"resilience\": {\"deadline_ms\": %d%s}}",
           port, DEADLINE_MS, resilience);
  return open_document(document);
}

static pid_t find_server(const char *port) {
  char command[100], line[200];
  snprintf(command, sizeof command, "redis-cli -p %s INFO server", port);
  FILE *info = popen(command, "r");
  pid_t found = 0;
  while (info && fgets(line, sizeof line, info)) {
    if (!strncmp(line, "process_id:", 11)) found = atoi(line + 11);
  }
  if (info) pclose(info);
  return found;
}

static void wake(void) { kill(server, SIGCONT); }

static double largest(const double *values, size_t count) {
  double most = values[0];
  for (size_t i = 1; i < count; i++) most = values[i] > most ? values[i] : most;
  return most;
}

static tc_status get(const subject *on, const char *key) {
  const tc_value *value;
  tc_status status = on->get(on->cache, key, KEY_LENGTH, &value);
  if (status == TC_OK) on->release(value);
  return status;
}

/* Reads and writes in turn; how long each took beyond the deadline, in ms. */
static void hang(const char *port, size_t calls) {
  subject on = open_on(port, ", \"circuit_failures\": 0, \"journal_max_entries\": 0");
  char key[KEY_STRIDE];
  write_key(1, key);
  must(set(&on, key, "1", 1), "set");
  double over[MAX_CALLS];
  kill(server, SIGSTOP);
  for (size_t i = 0; i < calls; i++) {
    double start = now_ns();
    tc_status status = i % 2 ? set(&on, key, "2", 1) : get(&on, key);
    over[i] = (now_ns() - start) / 1e6 - DEADLINE_MS;
    if (status == TC_OK) abort();
  }
  wake();
  report("hang", largest(over, calls), "the latest of %zu calls with a deadline of %d ms; median %.1f ms", calls,
         DEADLINE_MS, median(over, calls));
  on.close(on.cache);
}

static void recover(const char *port, size_t times) {
  double took[MAX_CALLS] = {0};
  for (size_t i = 0; i < times; i++) {
    subject on = open_on(port, "");
    char key[KEY_STRIDE];
    write_key(1, key);
    must(set(&on, key, "1", 1), "set");
    kill(server, SIGSTOP);
    while (get(&on, key) != TC_L2_SUSPENDED) continue;
    wake();
    double start = now_ns();
    while (get(&on, key) != TC_OK) usleep(1000);
    took[i] = (now_ns() - start) / 1e6;
    on.close(on.cache);
  }
  report("recovery", largest(took, times), "the latest of %zu; median %.0f ms", times, median(took, times));
}

int main(int count, char **arguments) {
  size_t calls = count > 2 ? atoi(arguments[2]) : 50, times = count > 3 ? atoi(arguments[3]) : 10;
  if (count < 2 || calls < 1 || calls > MAX_CALLS || times < 1 || times > MAX_CALLS) return 2;
  server = find_server(arguments[1]);
  if (server <= 0) return fprintf(stderr, "hang: no Redis at port %s\n", arguments[1]), 2;
  /* Whatever ends this program, the server goes on: its owner waits for it. */
  atexit(wake);
  hang(arguments[1], calls);
  recover(arguments[1], times);
  return 0;
}

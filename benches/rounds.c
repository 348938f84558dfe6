#include "rounds.h"

#include <pthread.h>

typedef struct {
  const side *of;
  size_t first, calls;
  pthread_barrier_t *start;
  double ns;
} turn;

static void *take_turn(void *argument) {
  turn *mine = argument;
  pthread_barrier_wait(mine->start);
  double start = now_ns();
  mine->of->what(mine->of->on, mine->of->draws + mine->first, mine->calls);
  mine->ns = now_ns() - start;
  return NULL;
}

/* What a call costs the thread that makes it. */
static double ns_per_call(const side *of, size_t round, size_t calls) {
  pthread_t ids[of->threads];
  turn turns[of->threads];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, of->threads);
  double ns = 0;
  for (int i = 0; i < of->threads; i++) {
    turns[i] = (turn){of, (round * of->threads + i) * calls % DRAWS, calls, &start, 0};
    pthread_create(&ids[i], NULL, take_turn, &turns[i]);
  }
  for (int i = 0; i < of->threads; i++) {
    pthread_join(ids[i], NULL);
    ns += turns[i].ns;
  }
  pthread_barrier_destroy(&start);
  return ns / calls / of->threads;
}

void compare(const char *row, side ours, side floor, size_t rounds, size_t calls, const char *unit) {
  double ours_ns[MAX_ROUNDS], floor_ns[MAX_ROUNDS], ratios[MAX_ROUNDS];
  ns_per_call(&ours, 0, calls);
  ns_per_call(&floor, 0, calls);
  for (size_t i = 0; i < rounds; i++) {
    bool floor_first = i % 2;
    if (floor_first) floor_ns[i] = ns_per_call(&floor, i, calls);
    ours_ns[i] = ns_per_call(&ours, i, calls);
    if (!floor_first) floor_ns[i] = ns_per_call(&floor, i, calls);
    ratios[i] = ours_ns[i] / floor_ns[i];
  }
  report(row, median(ratios, rounds), "%.0f ns, %s %.0f ns", median(ours_ns, rounds), unit, median(floor_ns, rounds));
}

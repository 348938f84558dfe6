/* Who asks for what, in which order: the traces of the hit ratios. */
#ifndef TRACES_H
#define TRACES_H
#include <stddef.h>
#include <stdint.h>

/* Keys that are asked for again have the numbers 0 … TRACE_ENTRIES - 1; those that are asked for once come after. */
enum { TRACE_ENTRIES = 100000 };

/* `count` numbers of keys; NULL when there is no trace of this name.
 *   zipf              exponent 0.99
 *   scan              the same, and after every 100,000 requests 30,000 keys that are asked for once
 *   shift             Zipf, and after every 250,000 requests other keys are the popular ones
 *   sessions          4,000 users at a time, each for 30 requests on average; the next user is drawn by Zipf
 *   sessions_uniform  the next user may be anybody */
uint32_t *trace(const char *name, size_t count);
#endif

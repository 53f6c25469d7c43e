/* pool.h - a few threads that share out numbered tasks. Which thread runs a task never shows in a result: the caller
 * cuts the work by shape alone (or so that the cut changes no sum), each output element has one writer, and sums run in
 * a fixed order. */
#ifndef REMATD_BASE_POOL_H
#define REMATD_BASE_POOL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/problem.h"

#define POOL_STACK ((size_t)8 << 20) /* mapped, and hardly touched */

struct pool;

/* threads >= 1, the caller's among them. Others have POOL_STACK bytes of stack.
 * NULL with PROBLEM_MEMORY if threads cannot be started. */
PROBLEM_MUST_CHECK struct pool *pool_new(unsigned threads, struct problem *why);
void pool_free(struct pool *pool); /* NULL is fine */

/* NULL counts as one thread. */
unsigned pool_threads(const struct pool *pool);

/* Runs task(arg, index, slot) for index 0..tasks-1 and returns when all are done. slot < min(threads, tasks) numbers
 * the running thread: workspace is cut by slot. Slot i starts with task i; further tasks are claimed in increasing
 * order, so a task may wait for results of lower-numbered ones. pool NULL runs all of them here. One pool_run at a time
 * a pool; tasks must not call pool_run. */
void pool_run(struct pool *pool, uint64_t tasks, void (*task)(void *arg, uint64_t index, unsigned slot), void *arg);

/* Waits until a lower-numbered task of the same run has said `step`, or more, in *said (memory_order_release). */
void pool_follow(atomic_uint_fast64_t *said, uint64_t step);

/* min(threads, tasks), at least 1: how many slots pool_run will use. */
unsigned pool_slots(const struct pool *pool, uint64_t tasks);

#endif

/* store_carry.h - tensors travel through a store that machines share: what is made here is put into it before it has
 * its name here, what is missing here is fetched and checked. Files under DATA/blobs are copies then. */
#ifndef REMATD_SERVER_STORE_CARRY_H
#define REMATD_SERVER_STORE_CARRY_H

#include "server/blob.h"
#include "server/store.h"

/* Does nothing where the store is not shared. Both must outlive their use. patience_ms: how long a database that is
 * away is waited for before a blob's reader or writer is told; 0: it is told at once. */
void store_carry(struct store *s, struct blob_store *blobs, int64_t patience_ms);
/* Removes copies of what the store does not have any more. Nothing where the store is not shared. */
PROBLEM_MUST_CHECK bool store_carry_tidy(struct store *s, struct blob_store *blobs, struct problem *why);

#endif

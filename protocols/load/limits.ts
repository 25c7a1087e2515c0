/** Bounds of the load protocol. Steps, rows, or a count. */

/** Shards of one report; the busiest first. */
export const MAX_REPORT_SHARDS = 4096
/** Steps of 5 minutes in one answer: 28 days. */
export const MAX_HISTORY_STEPS = 8064
export const MAX_HORIZON_MINUTES = 1440
/** One part of a shard's history on its way to another node, compressed. */
export const MAX_PIECE_BYTES = 512 * 1024
/** Chunks whose heat travels with one piece of history. */
export const MAX_PIECE_CHUNKS = 1024

/** Bounds of load as it is passed on: messages and CSV. Steps, rows, characters, or a count. */

/** Shards of one report; the busiest first. */
export const MAX_REPORT_SHARDS = 4096
/** Steps of 5 minutes in one answer: 28 days. */
export const MAX_HISTORY_STEPS = 8064
export const MAX_HORIZON_MINUTES = 1440
/** One part of a shard's history on its way to another node, compressed. */
export const MAX_PIECE_BYTES = 512 * 1024
/** Chunks whose heat travels with one piece of history. */
export const MAX_PIECE_CHUNKS = 1024

/** One line of a CSV of load: eleven fields, of which no name is longer than 63. */
export const MAX_CSV_LINE_CHARS = 4096
/** Greatest rate, queue or latency that a CSV may claim: what is greater is no measurement. */
export const MAX_CSV_VALUE = 1e15

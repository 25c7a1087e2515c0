/** Every bound of load as it is remembered and as it travels, by name. Slots, bytes, or a count. */
import { KiB } from '../limits.ts'

// What a series promises (docs/format-series.md).
export const SECONDS_KEPT = 15 * 60
export const MINUTES_KEPT = 14 * 24 * 60
export const HOURS_KEPT = 731 * 24

// Its rings: somewhat more than is promised, so that the oldest hour of minutes is whole.
/** Minutes that are folded together; the ring of recent minutes holds twice as many. */
export const FOLD_MINUTES = 16
export const RECENT_SLOTS = 32
/** A multiple of RECENT_SLOTS, at least MINUTES_KEPT and an hour. */
export const MINUTE_SLOTS = 20_224
export const HOUR_SLOTS = 732 * 24
/** What all rings of one series and its head may take. */
export const MAX_SERIES_BYTES = 1_500_000

/** A minute this much older than the last is late and dropped; older still, the clock was set back. */
export const LATE_MINUTES = 10
/** Greatest minute that is believed, about the year 2225: the bit above it is a mark. */
export const MAX_MINUTE = 2 ** 27 - 1
/** Greatest rate that is believed of others: requests or bytes per second. */
export const MAX_RATE = 1e12
/** Changes by pieces of history that a series remembers, so that none is made twice. */
export const MAX_MARKS = 448
export const MAX_SERIES_KEY_CHARS = 63

// Pieces of history (history.ts).
export const MAX_PIECE_ID_CHARS = 63
/** The head, two bits per slot and eight bytes per slot that was not idle. */
export const MAX_PIECE_BYTES = 384 * KiB
/** The same compressed, or as it is where that would not make it smaller. */
export const MAX_PACKED_PIECE_BYTES = 400 * KiB

// Messages (messages.ts) and CSV (csv.ts).
/** Shards of one report, the busiest first: at most 400 bytes each, in a message of 1 MiB. */
export const MAX_REPORT_SHARDS = 2048
/** Steps of 5 minutes in one answer: 28 days. */
export const MAX_HISTORY_STEPS = 8064
export const MAX_HORIZON_MINUTES = 1440
/** Chunks whose heat travels with one piece of history. */
export const MAX_PIECE_CHUNKS = 1024

/** One line of a CSV of load: eleven fields, of which no name is longer than 63. */
export const MAX_CSV_LINE_CHARS = 4096
/** Greatest rate, queue or latency that a CSV may claim: what is greater is no measurement. */
export const MAX_CSV_VALUE = MAX_RATE

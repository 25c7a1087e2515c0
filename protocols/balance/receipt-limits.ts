/** Bounds of receipts, of the score, and of what is asked about balancing. Counts or bytes, by name. */
import { KiB, MiB } from '../limits.ts'

/** What one node keeps; of more the oldest go, and all of them after so many days. */
export const MAX_RECEIPTS = 4_096
export const RECEIPT_DAYS = 90
/** Who was considered for one move, and what may be said of each. */
export const MAX_ALTERNATIVES = 16
export const MAX_RECEIPT_WHY_CHARS = 300
/** One receipt encoded: its words take three bytes a character at most. */
export const MAX_RECEIPT_BYTES = 48 * KiB
/** Ranges of moved chunks that are remembered with it: a move of more is judged by their number. */
export const MAX_RECEIPT_RANGES = 256
/** One record of the file: a receipt, its ranges, a day of the score. */
export const MAX_RECORD_BYTES = 96 * KiB
/** The file is written anew above this, if half of it is not needed any more. */
export const RECEIPTS_LOG_MIN_BYTES = MiB
export const MAX_RECEIPTS_LOG_BYTES = 256 * MiB

/** Receipts of one answer, and what they take of a message of 1 MiB. */
export const MAX_LISTED_RECEIPTS = 200
/** Moves whose receipts one question names. */
export const MAX_ASKED_IDS = 256
export const MAX_LISTED_RECEIPT_BYTES = 640 * KiB

/** Steps of what is measured after a move. */
export const JUDGED_MS = 3_600_000
export const JUDGED_STEP_MINUTES = 5
export const MAX_JUDGED_MINUTES = 120

export const MAX_BALANCE_REGIONS = 64

// What a node says of its balancing.
export const MAX_UNDER_WAY = 64
export const MAX_PROMISES = 256
export const MAX_INCURABLE = 64
export const MAX_PLANNED = 16
export const MAX_PLANNED_CHUNKS = 64
export const MAX_PLAN_STEPS = 288
export const MAX_LEFT = 64
export const MAX_BALANCE_PROBLEMS = 16
/** Greatest load, sum of loads or score that is believed of others. */
export const MAX_BALANCE_AMOUNT = 1e18

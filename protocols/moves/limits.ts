/** Bounds of moves. Bytes, milliseconds, or a count. */
import { MiB } from '../limits.ts'

/** Handoffs in which one node is the source at one time. */
export const PARALLEL_HANDOFFS = 2
/** Moves of one node that have not ended; more are refused. */
export const MAX_OPEN_MOVES = 500
/** Moves that have ended and are remembered, and how many of them one answer lists. */
export const MAX_ENDED_MOVES = 1_000
export const MAX_LISTED_ENDED = 200
/** Ranges of chunks that one move names. */
export const MAX_MOVE_RANGES = 4_096
/** The same of all open moves of a node: beyond it no move is added. */
export const MAX_OPEN_RANGES = 65_536
/** What `--hottest` may ask for. */
export const MAX_HOTTEST = 1_000
export const MAX_WHY_CHARS = 300

/** A chunk whose handoff failed is tried again so often, after a pause that doubles. */
export const MAX_CHUNK_ATTEMPTS = 10
export const RETRY_MIN_MS = 500
export const RETRY_MAX_MS = 30_000
/** Chunks of one move that could not be moved for good: then the move gives up on the rest. */
export const MAX_FAILED_CHUNKS = 8

// The pace of copying (pace.ts).
export const PACE_TICK_MS = 100
/** With clients active copying begins with this, never falls below the floor, and grows by steps. */
export const PACE_START_BYTES = 2 * MiB
export const PACE_FLOOR_BYTES = MiB
export const PACE_STEP_BYTES = MiB / 2
/** Clients from whom nothing was heard for so long are not there. */
export const PACE_ACTIVE_MS = 2_000
/** While clients are active: ticks of a round, and those at its end in which nothing is sent. */
export const PACE_ROUND_TICKS = 10
export const PACE_QUIET_TICKS = 2
/** Requests that make a mean worth judging; after so many ticks it is judged with fewer. */
export const PACE_JUDGED_REQUESTS = 8
export const PACE_JUDGED_TICKS = 4
/** After halving, so many ticks pass before the next judgement: what was sent has to settle. */
export const PACE_SETTLE_TICKS = 1
/** The mean may rise over its baseline by this share, at least, and by this much. */
export const PACE_SLACK_SHARE = 0.1
export const PACE_SLACK_MS = 0.02
/** The event loop may lag by this much more than it does without copying. */
export const PACE_LAG_MS = 3

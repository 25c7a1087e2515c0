/** Every bound of the policy, by name. Milliseconds, bytes, or a count. */
import { MINUTE_MS } from './time.ts'

/** The hottest chunks of a shard that the policy looks at. */
export const MAX_LOOKED_CHUNKS = 256
/** New moves of one step and node. */
export const MAX_NEW_MOVES = 3
/** No chunk returns to a node that it left less than this ago. */
export const RETURN_MS = 6 * 60 * MINUTE_MS
/**
 * A return within this counts as one, and is allowed only to a node that stays under its threshold
 * for the next day. Later a node is any other: its forecasts have seen a day without the chunk.
 */
export const RETURN_REMEMBERED_MS = 24 * 60 * MINUTE_MS
/** A chunk stays where it came for so long: so it moves at most twice an hour, whoever decides. */
export const LEAST_STAY_MS = 30 * MINUTE_MS
/** Peers that are asked for bids on one want. */
export const MAX_CANDIDATES = 4
/** What a node remembers of moves: chunks, and moves of the last hours. */
export const MAX_REMEMBERED_CHUNKS = 65_536
export const MAX_REMEMBERED_MOVES = 4_096
/** Steps that are looked ahead. */
export const MAX_PATH_STEPS = 288
/** Things of which a plan says that no move cures them. */
export const MAX_INCURABLE_TOLD = 64
/** Copying is planned for at least so long, and at most. */
export const LEAST_COPY_MS = 1_000
export const MOST_COPY_MS = 24 * 60 * MINUTE_MS

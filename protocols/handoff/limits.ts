/** Bounds of the handoff protocol. Bytes, milliseconds, or a count. */
import { MiB } from '../limits.ts'

/** Data of one `blocks` frame. */
export const MAX_HANDOFF_DATA_BYTES = MiB
/** Sent and not yet `stored`, as frameCost (messages.ts) counts it. */
export const HANDOFF_WINDOW_BYTES = 4 * MiB
/** From the approval to the commit; a cutover that takes longer is aborted. */
export const CUTOVER_MS = 10_000
/** Rounds of changed blocks are copied until at most this much is left. */
export const SMALL_REST_BYTES = MiB
/** ... or until so many rounds did not get there: the holder is asked all the same. */
export const MAX_ROUNDS = 8
/** Rounds at the pace that clients leave; what is still changed faster than that is then caught up. */
export const PACED_ROUNDS = 4

/** The setting of the simulated balancing, by name. */
import { DEFAULT_SETTINGS } from '../../../protocols/balance/settings.ts'
import { GiB, MiB } from '../../../protocols/limits.ts'

export const STEP_MS = 300_000
export const STEPS_PER_DAY = 288
export const DAY_MS = STEPS_PER_DAY * STEP_MS
export const HOUR_MS = 3_600_000
export const AHEAD_STEPS = 12

/** Units per second of a node; what it serves should stay below the part of the threshold. */
export const CAPACITY = 1_000
export const THRESHOLD = DEFAULT_SETTINGS.thresholdPart * CAPACITY
export const VOLUMES_PER_NODE = 4
/** Mean load of all nodes, as a part of their capacity. */
export const MEAN_PART = 0.5
/** No volume may exceed this part of a node's capacity: what --max-iops does. */
export const MOST_PART = 0.4
/** A volume's chunks: the part of its load that each has. */
export const SHARES = [0.4, 0.3, 0.2, 0.1] as const
export const LEAST_CHUNK_BYTES = GiB
export const MOST_CHUNK_BYTES = 8 * GiB
/** Of a node: about twice what it holds at first. */
export const ROOM_BYTES = 2 * VOLUMES_PER_NODE * SHARES.length * 4.5 * GiB
export const COPY_BYTES_PER_SECOND = 32 * MiB
/** What copying costs both ends, as a part of the load that moves. */
export const COPY_LOAD = 0.1

/** After the start of a step each node looks, within this. */
export const LOOK_JITTER_MS = 60_000
/** Ages of what is known of others (protocols/load-gossip): of one's own group, of the rest. */
export const NEAR_AGE_MS = 60_000
export const FAR_AGE_MS = 130_000

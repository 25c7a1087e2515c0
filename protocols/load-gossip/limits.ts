/** Every bound of load-gossip. Bytes, milliseconds, or a count. */
import { KiB } from '../limits.ts'

/** What one node hears of load in a minute: payloads, and the envelope of each. */
export const DEFAULT_BUDGET_BYTES = 64 * KiB
export const MIN_BUDGET_BYTES = 8 * KiB
/**
 * What a message costs beside its payload: author, key, signature and sequence number of gossipsub
 * (162 bytes), a topic of up to 30, and some 38 for the frames of gossipsub, yamux and TLS.
 */
export const ENVELOPE_BYTES = 230
/** Of the budget; the rest is for jitter, and for clocks that disagree on slots. */
export const PLANNED_PART = 0.85
/** Of what is planned, the part that summaries may always take; what one kind leaves the other has. */
export const SUMMARY_PART = 3 / 8

/** Members of one group, as expected from the hash: a larger region is split. */
export const GROUP_NODES = 64
/** A region is split into 2^6 groups at most: enough for every peer that a host may know. */
export const MAX_GROUP_BITS = 6

/** A sample leaves this often at most, and lists all shards it can. */
export const MIN_INTERVAL_MS = 10_000
/** Its list of shards shrinks to KEPT_SHARDS so that it leaves this often ... */
export const GOOD_INTERVAL_MS = 30_000
export const KEPT_SHARDS = 8
/** ... and to nothing before it leaves more seldom than this. */
export const LONG_INTERVAL_MS = 60_000
export const MAX_LISTED_SHARDS = 128
/** Counters of shards in a sample, and of nodes in a summary, end here. */
export const MAX_COUNT = 0xffff

/** One summary of each group in this time at most ... */
export const MIN_SUMMARY_INTERVAL_MS = 30_000
/** ... and in this time at least, if fewer entries can make it so. */
export const MAX_SUMMARY_INTERVAL_MS = 300_000
export const MAX_SUMMARY_ENTRIES = 128
/** A node that has just started summarises once it heard so many of its group, or long enough. */
export const MOST_MEMBERS = 0.9
/** Members that stand in for one another in one slot. */
export const SUMMARY_RANKS = 3

/** A message is dropped whose wall time is further ahead, or further back. */
export const MAX_AHEAD_MS = 90_000
export const MAX_AGE_MS = 600_000
/** Units per second: a thousand nodes at once do not reach it. */
export const MAX_UNITS = 2 ** 30
export const MAX_FREE_BYTES = 2 ** 60
/** What an author may say: so many times its part of the budget. */
export const AUTHOR_FACTOR = 2
/** A sample counts as fresh until the second one after it is overdue, and some seconds of delay. */
export const FRESH_INTERVALS = 2
export const FRESH_SLACK_MS = 5_000
/** A summary that tells of a sample replaces the sample itself only if it is newer by this. */
export const SUMMARY_NEWER_MS = 5_000

export const SAMPLE_HEAD_BYTES = 44
export const SHARD_BYTES = 27
export const SUMMARY_HEAD_BYTES = 20
export const SUMMARY_ENTRY_BYTES = 17

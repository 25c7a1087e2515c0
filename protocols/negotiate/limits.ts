/** Every bound of negotiations. Milliseconds of real time, or a count. */

/** Peers that one offer goes to. */
export const MAX_CANDIDATES = 4
/** Peers that a source compares before it asks those. */
export const MAX_CONSIDERED = 128
/** Ranges of chunks that one offer names: a plan looks at no more chunks than these hold. */
export const MAX_OFFER_RANGES = 256
/** The load to come in steps of five minutes: all that a source with the usual horizon looks at. Then hour by hour: a day. */
export const MAX_OFFER_STEPS = 15
export const MAX_OFFER_HOURS = 24
export const MAX_OFFER_REGIONS = 64
export const MAX_WHY_CHARS = 300
/** Longest that an offer may say that its copy takes, or that it looks ahead. */
export const MAX_OFFER_MS = 24 * 60 * 60_000
/** Units per second; a round trip that is no measurement. As in protocols/load-gossip. */
export const MAX_UNITS = 2 ** 30
export const MAX_RTT_MS = 60_000

/** Bids are collected for so long. */
export const BIDS_MS = 3_000
/** One call is waited for so long. */
export const CALL_MS = 5_000
/** An award whose answer does not come is repeated: it may have arrived. Then the next best. */
export const AWARD_TRIES = 2
export const SETTLE_TRIES = 3
/** A bid binds its bidder so long: all awards that could come before, and some. */
export const BID_LASTS_MS = BIDS_MS + MAX_CANDIDATES * AWARD_TRIES * CALL_MS + 5_000

/** Renewals while a move lasts: after a minute, then ever more seldom as long as they are answered. */
export const FIRST_KEEP_MS = 60_000
export const LONGEST_KEEP_MS = 30 * 60_000
/** A promise lasts so many pauses between renewals: two in a row may be lost, or be late. */
export const KEEPS_PER_LEASE = 4
export const MAX_LEASE_MS = KEEPS_PER_LEASE * LONGEST_KEEP_MS
/** More than a day of them; a move that lasts longer goes on without a promise. */
export const MAX_KEEPS = 60
/** What a source sends for one move, whatever the size of the mesh and whatever is lost. */
export const MAX_MESSAGES_PER_MOVE =
  MAX_CANDIDATES * (1 + AWARD_TRIES + 1) + MAX_KEEPS + SETTLE_TRIES

/** After offers that nobody took: doubling, and shortened by chance to half at most. */
export const BACK_OFF_MS = { min: 60_000, max: 30 * 60_000 } as const
/** The same for what is not urgent. */
export const CALM_BACK_OFF_MS = { min: 2 * 60 * 60_000, max: 12 * 60 * 60_000 } as const

/** Negotiations of a source that have not ended. */
export const MAX_OPEN_OFFERS = 64
/** What a bidder has promised at one time: to all, and to one. */
export const MAX_PROMISES = 64
export const MAX_PROMISES_TO_ONE = 16
/** Ends that a bidder remembers, so that what arrives late makes no new promise. */
export const MAX_REMEMBERED_ENDS = 1_024
/** Longer than any message is under way: its call has ended by then. */
export const END_REMEMBERED_MS = 60_000
/** The load of what has come counts as promised until forecasts have taken it up. */
export const ARRIVED_COUNTS_MS = 10 * 60_000

/** Peers of which a source keeps a record; half of what is in it fades in so long. */
export const MAX_RECORDS = 1_024
export const RECORD_HALVES_MS = 24 * 60 * 60_000
/** Either side of it counts up to so much: a long record must not hide a turn for the worse, or better. */
export const MOST_COUNTED = 20
/** Silences in a row that are counted. */
export const MAX_SILENCES = 1_000
/** A peer that was silent is asked again after a pause that doubles. */
export const SILENCE_MIN_MS = 60_000
export const SILENCE_MAX_MS = 60 * 60_000

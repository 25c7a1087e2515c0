/** Bounds and defaults of what the commands show, by name. Milliseconds, rows, columns, or a part. */

// shoal top
export const TOP_INTERVAL = { usual: '2s', min: '500ms', max: '1h' }
/** Rows of each table where there is no terminal with a height. */
export const TOP_ROWS = 20
export const MAX_TOP_ROWS = 100_000
/** A chance of an overload within the hour that deserves a mark. */
export const HIGH_CHANCE = 0.5
/** An expected load this much above or below what is now goes up or down. */
export const TREND_PART = 0.15
/** Loads below this are no trend, whatever their ratio. Units per second. */
export const TREND_LEAST_LOAD = 1

// shoal forecast
export const HORIZON = { usual: '6h', min: '5m', max: '24h' }
export const HISTORY = { usual: '24h', min: '5m', max: '14d' }
/** The plot: without a terminal, and at least and at most with one. */
export const PLOT_COLUMNS = { usual: 80, min: 40, max: 240 }
export const PLOT_ROWS = { usual: 20, min: 8, max: 40 }
/** Lines that words and the prompt need beside the plot, so that all is seen at once. */
export const PLOT_WORDS_ROWS = 12
/** Past and future each get at least this part of the picture. */
export const PLOT_LEAST_PART = 0.2
/** The picture grows for a threshold or a q95 by so many times what else is in it. */
export const PLOT_HEADROOM = 3

// shoal load
/** Older minutes are kept as hours only. */
export const MINUTES_KEPT_MS = 14 * 24 * 3_600_000
/** Volumes that a file of load may name: a summary is kept of each. */
export const MAX_IMPORTED_VOLUMES = 10_000

// shoal balance
export const BALANCE_HORIZON = { min: '15m', max: '24h' }
/** Days of the score that are shown unless told. */
export const SCORE_DAYS = 7

// shoal explain
/** Moves of a volume or shard that are listed, the youngest first. */
export const MAX_EXPLAINED_MOVES = 20

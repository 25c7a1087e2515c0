/** Every bound of forecasting, by name. Days, steps, rows, or a count. */

/** What a shard remembers of itself at the forecasting step (5 min: 8,064 samples). */
export const HISTORY_DAYS = 28
/** A longer silence is no gap to fill: the series begins anew. */
export const MAX_FILLED_DAYS = 7
/** A sample this much older than the last is late and dropped; older still, the clock jumped. */
export const MAX_LATE_STEPS = 12
/** Greatest load that is believed; anything else is a gap. Units per second. */
export const MAX_LOAD = 1e15

/** Of the past that is gone through again when a threshold moves: per sample. */
export const MAX_REPLAYED_STEPS = 1024

export const MAX_HORIZON_STEPS = 288
export const MAX_PATTERNS = 64
/** Offsets of a time zone that are remembered: an hour each. */
export const MAX_CACHED_OFFSETS = 4096

/** Residuals behind one quantile. */
export const CONFORMAL_WINDOW = 2016

/** Rows that the trees learn from, and their shape. */
export const MAX_TRAINING_ROWS = 200_000
export const MAX_TREES = 400
export const MAX_TREE_DEPTH = 6
export const MAX_BINS = 64

/** What a node keeps forecasts of: its shards, and itself. */
export const MAX_SUBJECTS = 4096
/** Rows that a node keeps to learn from; the newest win. */
export const MAX_KEPT_ROWS = MAX_TRAINING_ROWS / 2
/** Below these nothing is learned: rows, and rows of either outcome. */
export const LEAST_ROWS = 1000
export const LEAST_OUTCOMES = 20
/** Subjects whose past the network learns from, drawn anew for every training. */
export const MAX_TRAINED_SERIES = 64

/** Windows, steps and cells of the network. */
export const MAX_LSTM_SERIES = 4096
export const MAX_LSTM_CELLS = 64

/** Every bound of load as it is passed on, by name. Characters, or what a field says. */

/** One line of a CSV of load: eleven fields, of which no name is longer than 63. */
export const MAX_CSV_LINE_CHARS = 4096
/** Greatest rate, queue or latency that a CSV may claim: what is greater is no measurement. */
export const MAX_CSV_VALUE = 1e15

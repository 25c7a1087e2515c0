/**
 * The past of one subject, from its series into its forecast, in slices: after a start, and whenever
 * its history has changed.
 *
 * The last day is given as if it were live, so that the models are judged and their errors known.
 * Invariant: the series is read when the slices begin, and again at their end for what came
 * meanwhile; a sample that comes twice is dropped by the forecast.
 */
import type { ForecastBook } from '../../protocols/forecast/book.ts'
import { DAY_STEPS, STEP_MS } from '../../protocols/forecast/subject.ts'
import { PAST_SLICE_STEPS } from '../limits.ts'

interface Steps {
  readonly loads: Float64Array
  readonly endMs: number
}

export function* pastOf(
  book: ForecastBook,
  key: string,
  read: () => Steps,
  now: () => number
): Generator<void> {
  yield
  let fedMs = Number.NEGATIVE_INFINITY
  for (;;) {
    const { loads, endMs } = read()
    if (endMs <= fedMs) return
    let work = 0
    for (let i = firstKnown(loads); i < loads.length; i++) {
      const timeMs = endMs - (loads.length - i) * STEP_MS
      if (timeMs < fedMs) continue
      const load = known(loads[i])
      const isLive = loads.length - i <= DAY_STEPS
      if (isLive) book.sample(key, timeMs, load)
      else book.remember(key, timeMs, load)
      // A live step costs several times as much.
      work += isLive ? 4 : 1
      if (work < PAST_SLICE_STEPS) continue
      work = 0
      yield
    }
    fedMs = endMs
    if (now() - endMs < STEP_MS) return
    yield
  }
}

function firstKnown(loads: Float64Array): number {
  const at = loads.findIndex(load => !Number.isNaN(load))
  return at === -1 ? loads.length : at
}

function known(load: number | undefined): number | undefined {
  return load === undefined || Number.isNaN(load) ? undefined : load
}

/**
 * What every mode of the balancing bench knows of the loads to come, per volume and step.
 *
 *   ours            the shipped forecasts (ForecastBook), as balancing reads them (outlook.ts)
 *   seasonal naive  the loads of the day before
 *   reactive        the load of now
 *   perfect         what will come
 *
 * Invariant: but for `perfect`, a path of step t is made of loads before t alone.
 */
import type { Moments } from '../../protocols/balance/excess.ts'
import { outlookOf } from '../../protocols/balance/outlook.ts'
import type { LoadPath } from '../../protocols/balance/types.ts'
import { ForecastBook } from '../../protocols/forecast/book.ts'
import { type Direct, DirectForecast } from '../../protocols/forecast/direct.ts'
import { LastDay } from '../../protocols/forecast/last-day.ts'
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import type { Setting } from './balance-setting.ts'
import { DAY, VM_START_MS, VM_ZONE } from './forecast-data.ts'

const PATH_STEPS = 12
/** Of a shipped one: what outlook.ts says beyond the path included. */
const OUTLOOK_STEPS = 15
/** Far enough for what a move may save after the horizon. */
const PERFECT_STEPS = 16
/** Live steps before the first that is asked for: quantiles stand on a week of errors. */
const JUDGED_STEPS = 8 * DAY

/** The path of a volume as it is known at the beginning of a step. */
export type Foreseer = (volume: number, step: number) => LoadPath

export function perfect({ loads, steps }: Setting): Foreseer {
  return (volume, step) =>
    certain(step, PERFECT_STEPS, t => loads[volume]?.[Math.min(t, steps - 1)])
}

export function seasonalNaive({ loads }: Setting): Foreseer {
  return (volume, step) => certain(step, PATH_STEPS, t => loads[volume]?.[t - DAY])
}

export function lastValue({ loads }: Setting): Foreseer {
  return (volume, step) => certain(step, PATH_STEPS, () => loads[volume]?.[step - 1])
}

function certain(
  step: number,
  steps: number,
  loadAt: (step: number) => number | undefined
): LoadPath {
  const expected = Array.from({ length: steps }, (_, h) => loadAt(step + h) ?? 0)
  return { atMs: msOf(step), stepMs: STEP_MS, expected, high: expected }
}

export function msOf(step: number): number {
  return VM_START_MS + step * STEP_MS
}

/** The shipped forecasts of all volumes in the steps [from, to). */
export function shipped(setting: Setting, from: number, to: number): Foreseer {
  const width = 2 * OUTLOOK_STEPS
  const kept = setting.measured.map((measured, volume) => {
    const paths = new Float32Array((to - from) * width)
    const book = new ForecastBook(1)
    const key = `volume ${volume}`
    const threshold = { load: setting.limit, from: 'capacity' } as const
    book.open(key, { zone: VM_ZONE, patterns: [], threshold })
    // Of the limited load, as a node would measure it; the book is told what the VM asked for.
    const lastDay = new LastDay(DAY)
    const direct = new DirectForecast(DAY)
    for (let t = 0; t < to; t++) {
      if (t >= from) {
        const { mean, variance } = lastDay
        const known = {
          lastDay: { mean, variance },
          direct: direct.foretell(),
          most: setting.limit
        }
        paths.set(pathAt(book, key, known), (t - from) * width)
      }
      const load = setting.loads[volume]?.[t] ?? 0
      lastDay.take(load)
      direct.take(Math.min(setting.limit, measured[t] ?? 0), load)
      if (t < from - JUDGED_STEPS) book.remember(key, msOf(t), measured[t])
      else book.sample(key, msOf(t), measured[t])
    }
    return paths
  })
  return (volume, step) => {
    const at = (step - from) * width
    const of = (begin: number): number[] =>
      Array.from(kept[volume]?.subarray(at + begin, at + begin + OUTLOOK_STEPS) ?? [])
    return { atMs: msOf(step), stepMs: STEP_MS, expected: of(0), high: of(OUTLOOK_STEPS) }
  }
}

function pathAt(
  book: ForecastBook,
  key: string,
  known: {
    readonly lastDay: Moments
    readonly direct: Direct | undefined
    readonly most: number
  }
): Float32Array {
  const published = book.forecast(key)
  if (published === undefined) return new Float32Array(2 * OUTLOOK_STEPS)
  const { expected, high } = outlookOf({ ...published, ...known }, known.most)
  return Float32Array.from([...expected, ...high])
}

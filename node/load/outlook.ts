/** A forecast over any horizon up to a day, made from a history of steps when somebody asks. */
import { LongForecast, type LongPublished, type PastLoad } from '../../protocols/forecast/long.ts'
import type { LstmWeights } from '../../protocols/forecast/lstm.ts'
import {
  DAY_STEPS,
  type Published,
  STEP_MS,
  type SubjectSettings
} from '../../protocols/forecast/subject.ts'
import type { Outlook } from '../../protocols/load/messages.ts'
import { OUTLOOK_SLICE_STEPS } from '../limits.ts'

export interface OutlookWish {
  /** Mean loads of steps, NaN where unknown; the last ends at `endMs`. */
  readonly loads: Float64Array
  readonly endMs: number
  readonly settings: SubjectSettings
  readonly horizonMinutes: number
  readonly weights: LstmWeights | undefined
}

/** Undefined: nothing is known. */
export function* outlookOf(wish: OutlookWish): Generator<void, Outlook | undefined> {
  const { settings, horizonMinutes, weights } = wish
  const past = pastOf(wish)
  if (past.length === 0) return undefined
  const long = new LongForecast(past, settings, horizonMinutes, weights)
  while (!long.done) {
    long.slice(OUTLOOK_SLICE_STEPS)
    yield
  }
  return long.finished && described(long.finished, settings.zone)
}

/** The standing forecast knows more of the next hour. */
export function withStanding(outlook: Outlook, standing: Published | undefined): Outlook {
  if (standing?.chance === undefined) return outlook
  const { model, skill, chance: hour } = standing
  const horizon = Math.max(hour, outlook.chance?.horizon ?? 0)
  return { ...outlook, model, skill, chance: { hour, horizon } }
}

/** From the first that is known on. */
function pastOf({ loads, endMs }: OutlookWish): PastLoad[] {
  const first = loads.findIndex(load => !Number.isNaN(load))
  if (first === -1) return []
  return Array.from(loads.subarray(first), (load, i) => ({
    timeMs: endMs - (loads.length - first - i) * STEP_MS,
    load: Number.isNaN(load) ? undefined : load
  }))
}

function described(long: LongPublished, zone: string): Outlook {
  const { atMs, stepMs, path, bands, model, skill, threshold, chance, crossing } = long
  const { expectedAt, highAt } = crossing
  return {
    at: atMs,
    stepMs,
    path: [...path],
    q50: [...bands.q50],
    q90: [...bands.q90],
    q95: [...bands.q95],
    model,
    skill,
    ...(threshold === undefined ? {} : { threshold }),
    ...(chance === undefined ? {} : { chance }),
    ...(expectedAt === undefined ? {} : { expectedAt }),
    ...(highAt === undefined ? {} : { highAt }),
    historyDays: long.steps / DAY_STEPS,
    zone
  }
}

/**
 * Part 6 of the forecasting bench: forecasts up to a day ahead, as `shoal forecast --horizon` makes
 * them, at a few moments of the test part of every VM. Every step of a path is judged: neighbouring
 * ones tell nearly the same, so the shares swing by a point or two.
 */
import { type LongPublished, longForecast } from '../../protocols/forecast/long.ts'
import { round6 } from '../../protocols/forecast/numeric.ts'
import { DAY, type Load, STEP_MINUTES, VM_START_MS, VM_ZONE, WEEK } from './forecast-data.ts'
import type { Loads } from './forecast-loads.ts'
import { TEST_START } from './forecast-overload.ts'
import { cpuMs, type Section } from './forecast-report.ts'
import { round } from './report.ts'

const MOMENTS = 3
const HORIZON_MINUTES = 24 * 60
const HOUR = DAY / 24
const WEEK_PARTS = 7
/** Steps ahead, up to and including. */
const PARTS = [3, 6, 12, 24].map(hours => hours * HOUR)
const STEP_MS = STEP_MINUTES * 60_000

class Tally {
  steps = 0
  readonly below = [0, 0]
  readonly equal = [0, 0]

  take(came: number, quantiles: readonly number[]): void {
    this.steps++
    quantiles.forEach((quantile, i) => {
      if (came < quantile) this.below[i] = (this.below[i] ?? 0) + 1
      if (came === quantile) this.equal[i] = (this.equal[i] ?? 0) + 1
    })
  }

  /** A load that equals its quantile, as zeros do, counts as much as the level promises. */
  covered(i: number, level: number): number {
    const [below = 0, equal = 0] = [this.below[i], this.equal[i]]
    return round((100 * (below + level * equal)) / this.steps, 1)
  }
}

export function longSection({ loads }: Loads): Section {
  const tallies = PARTS.map(() => new Tally())
  const times: number[] = []
  let [said, came, judged] = [0, 0, 0]
  loads.forEach((load, index) => {
    for (const now of momentsOf(load, index)) {
      const started = cpuMs()
      const long = foretell(load, now)
      times.push(cpuMs() - started)
      if (long === undefined) continue
      const most = judge(load, now, long, tallies)
      if (long.chance === undefined || long.threshold === undefined) continue
      judged++
      said += long.chance.horizon
      if (most > long.threshold.load) came++
    }
  })
  const rows = tallies.map((tally, part) => ({
    'hours ahead': `${(PARTS[part - 1] ?? 0) / HOUR} to ${(PARTS[part] ?? 0) / HOUR}`,
    steps: tally.steps,
    'q90 covers %': tally.covered(0, 0.9),
    'q95 covers %': tally.covered(1, 0.95)
  }))
  const median = times.sort((a, b) => a - b)[times.length >> 1] ?? 0
  return {
    title: `A day ahead on demand, ${loads.length} VMs at ${MOMENTS} moments each`,
    rows,
    notes: [
      `within the day above the usual load: said ${round(said / judged, 2)}, came ${round(came / judged, 2)}`,
      `ms of CPU per forecast: median ${round(median, 0)}`
    ],
    bars: []
  }
}

/** Spread over the test part; of every VM at other hours. */
function momentsOf({ raw }: Load, index: number): number[] {
  const span = raw.length - TEST_START - DAY - 1
  const shift = (index % WEEK_PARTS) / WEEK_PARTS
  return Array.from({ length: MOMENTS }, (_, i) =>
    Math.floor(TEST_START + ((i + shift) * span) / MOMENTS)
  )
}

function foretell({ raw }: Load, now: number): LongPublished | undefined {
  const from = now - 4 * WEEK + 1
  const history = Array.from(raw.subarray(from, now + 1), (load, i) => ({
    timeMs: VM_START_MS + (from + i) * STEP_MS,
    load
  }))
  return longForecast(history, { zone: VM_ZONE, patterns: [], threshold: 'usual' }, HORIZON_MINUTES)
}

/** Gives the most that came. */
function judge(load: Load, now: number, long: LongPublished, tallies: readonly Tally[]): number {
  let most = 0
  long.path.forEach((_, i) => {
    const actual = round6(load.smooth[now + i + 1] ?? 0)
    most = Math.max(most, actual)
    const tally = tallies[PARTS.findIndex(end => i < end)]
    tally?.take(actual, [long.bands.q90[i] ?? 0, long.bands.q95[i] ?? 0])
  })
  return most
}

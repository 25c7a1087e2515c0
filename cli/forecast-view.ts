/** What `shoal forecast` says of a ForecastDocument: the plot, what its signs mean, then sentences. */
import type { ForecastDocument, ThresholdDocument } from '../node/control/load-documents.ts'
import type { Calendar } from '../protocols/forecast/calendar.ts'
import { clean, percent, plural, short } from './output.ts'
import { isAbove, type Plot, plot } from './plot.ts'
import { marksOf } from './plot-marks.ts'
import { clockOf, timeText } from './times.ts'

export interface ForecastView {
  readonly columns: number
  readonly rows: number
  readonly ascii: boolean
}

const MINUTE_MS = 60_000

export function forecastText(document: ForecastDocument, view: ForecastView): string {
  const clock = clockOf(document.zone)
  const picture = pictureOf(document, view, clock)
  const { subject, kind, at } = document
  const head = `${subject} (${kind}), load in units per second, ${timeText(at, at, clock)} ${clock.zone}`
  return [
    head,
    '',
    ...plot(picture),
    legend(view.ascii, document.threshold !== undefined),
    '',
    ...modelLines(document),
    ...thresholdLines(document, isAbove(picture), clock),
    ...restLines(document)
  ]
    .map(clean)
    .join('\n')
}

function pictureOf(document: ForecastDocument, view: ForecastView, clock: Calendar): Plot {
  const { at, stepMs, history, bands, path, threshold } = document
  return {
    width: view.columns,
    height: view.rows,
    ascii: view.ascii,
    nowMs: at,
    history: { stepMs: history.stepMs, values: history.loads },
    ahead: {
      stepMs,
      q50: bands.q50.length > 0 ? bands.q50 : path,
      q90: bands.q90,
      q95: bands.q95
    },
    ...(threshold === undefined ? {} : { threshold: threshold.load }),
    offsetMinutes: timeMs => clock.offsetMinutes(timeMs),
    label: short
  }
}

function legend(ascii: boolean, hasThreshold: boolean): string {
  const { dark, light, threshold, past, expected } = marksOf(ascii)
  const signs = [
    ...(ascii ? [`${past} past`, `${expected} expected`] : ['line: past, expected']),
    `${dark} up to q90`,
    `${light} up to q95`,
    ...(hasThreshold ? [`${threshold} threshold`] : [])
  ]
  return signs.join('   ')
}

// -- sentences

function modelLines({ path, model, skill }: ForecastDocument): string[] {
  if (path.length === 0) return ['no forecast yet: there is too little history']
  return [`model: ${model}, ${skillText(model, skill)}`]
}

/** The last value, and that of a day before. */
const NAIVE = ['last value', 'seasonal naive']

function skillText(model: string, skill: number): string {
  if (skill <= 0 && NAIVE.includes(model)) return 'no better than naive, so naive is used'
  // Each model was better by itself, for some hours; all together they were not.
  if (skill <= 0) return 'so far no better than naive'
  const part = Math.max(1, Math.round(skill * 100))
  return `${part} % less error than the better of last value and yesterday`
}

function thresholdLines(document: ForecastDocument, above: boolean, clock: Calendar): string[] {
  const { threshold, chance, path, stepMs } = document
  if (threshold === undefined) return ['threshold: none is known yet']
  const lines = [
    `threshold: ${short(threshold.load)}/s, ${originText(threshold)}${aboveText(above)}`
  ]
  if (chance === undefined) return lines
  const horizon = horizonText(path.length * stepMs)
  const isShort = path.length * stepMs <= 60 * MINUTE_MS
  const beyond = isShort ? '' : `, within ${horizon}: ${percent(chance.horizon)}`
  lines.push(`chance of crossing it within the hour: ${percent(chance.hour)}${beyond}`)
  lines.push(crossingText(document, clock))
  return lines
}

/** `90 min`, `6 h`, `6 h 30 min`. */
function horizonText(ms: number): string {
  const minutes = Math.round(ms / MINUTE_MS)
  const rest = minutes % 60
  if (minutes < 120) return `${minutes} min`
  return `${Math.floor(minutes / 60)} h${rest === 0 ? '' : ` ${rest} min`}`
}

function originText({ from }: ThresholdDocument): string {
  return from === 'capacity'
    ? 'a part of the capacity that was measured'
    : 'what this load seldom exceeds by itself'
}

function aboveText(above: boolean): string {
  return above ? ' (above the picture)' : ''
}

function crossingText({ at, crossing }: ForecastDocument, clock: Calendar): string {
  if (crossing?.expectedAt === undefined && crossing?.highAt === undefined) {
    return 'crossing: neither the expected load nor the high one (q90) in this time'
  }
  const when = (timeMs: number | undefined): string =>
    timeMs === undefined ? 'not in this time' : timeText(timeMs, at, clock)
  return (
    `crossing: expected load ${when(crossing.expectedAt)}, ` +
    `high load (q90) ${when(crossing.highAt)}`
  )
}

function restLines({ historyDays, patterns }: ForecastDocument): string[] {
  const days = historyDays < 2 ? Math.round(historyDays * 10) / 10 : Math.round(historyDays)
  return [
    `rests on ${plural(days, 'day')} of history`,
    ...(patterns.length === 0 ? [] : [`declared patterns: ${patterns.join('; ')}`])
  ]
}
